//! The verification of clients.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::error::Error;
use crate::files::Files;
use crate::pem::{PemFile, ROOTS, Source};
use crate::tickets::ClientPolicy;

/// The verification of clients by certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyPeer {
    /// Clients are not asked for a certificate.
    #[default]
    No,
    /// Clients are asked. A client without a certificate is accepted; one whose certificate does not verify is refused.
    Optional,
    /// Clients are asked. A client without a certificate that verifies is refused.
    Required,
}

impl From<bool> for VerifyPeer {
    fn from(verify: bool) -> Self {
        match verify {
            true => VerifyPeer::Required,
            false => VerifyPeer::No,
        }
    }
}

/// Reads the certificates of trusted issuers.
pub(crate) fn roots(source: &Source, files: &mut Files) -> Result<RootCertStore, Error> {
    let file = PemFile::read(source, ROOTS, files)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in file.certificates(ROOTS)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = index + 1;
            file.error(
                ROOTS,
                format!("certificate number {number} there cannot be used: {error}"),
            )
        })?;
    }
    if roots.is_empty() {
        let reason = file.other_contents().unwrap_or(
            "there is no `-----BEGIN CERTIFICATE-----` in it: it has to be a PEM file with the certificates of those \
             who issue certificates",
        );
        return Err(file.error(ROOTS, reason));
    }
    Ok(roots)
}

/// The parts of a configuration that concern the verification of clients.
pub(crate) struct ClientAuth {
    /// Requests a certificate and verifies it. Clients learn the names of the roots.
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// The condition under which a session can be resumed.
    pub(crate) policy: ClientPolicy,
}

/// Reads the roots, if clients are to be verified.
pub(crate) fn client_auth(
    verify: Option<VerifyPeer>,
    cafile: Option<&Source>,
    provider: &Arc<CryptoProvider>,
    files: &mut Files,
) -> Result<ClientAuth, Error> {
    let mode = match (verify, cafile) {
        (None, Some(_)) => {
            return Err(Error::context(
                "with `cafile` alone clients are not asked for a certificate: set `verify_peer` as well",
            ));
        }
        (None, None) => VerifyPeer::No,
        (Some(mode), _) => mode,
    };
    if mode == VerifyPeer::No {
        return Ok(ClientAuth {
            verifier: WebPkiClientVerifier::no_client_auth(),
            policy: policy(mode, None)?,
        });
    }
    let Some(cafile) = cafile else {
        return Err(Error::context(
            "`verify_peer` needs `cafile`: a PEM file with the certificates of those who issue the clients' certificates",
        ));
    };
    let roots = Arc::new(roots(cafile, files)?);
    let policy = policy(mode, Some(&roots))?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = match mode {
        VerifyPeer::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    let verifier = builder
        .build()
        .map_err(|error| Error::context(error.to_string()))?;
    Ok(ClientAuth { verifier, policy })
}

fn policy(mode: VerifyPeer, roots: Option<&RootCertStore>) -> Result<ClientPolicy, Error> {
    ClientPolicy::new(mode, roots)
        .ok_or_else(|| Error::context("the cryptography provider has no SHA-256"))
}
