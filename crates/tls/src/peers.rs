//! The verification of clients.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::error::Error;
use crate::files::FileStates;
use crate::pem::{PemFile, PemSource, ROOTS};
use crate::tickets::ClientPolicy;

/// The verification mode for client certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyPeer {
    /// No certificate is requested.
    #[default]
    No,
    /// A certificate is requested. A client without one is accepted; a client with an invalid one is refused.
    Optional,
    /// A certificate is required. A client without a valid one is refused.
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

/// Reads trusted CA certificates.
pub(crate) fn roots(source: &PemSource, files: &mut FileStates) -> Result<RootCertStore, Error> {
    let file = PemFile::read(source, ROOTS, files)?;
    let mut roots = RootCertStore::empty();
    for (index, certificate) in file.certificates(ROOTS)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = index + 1;
            file.error(
                ROOTS,
                format!("certificate number {number} cannot be used: {error}"),
            )
        })?;
    }
    if roots.is_empty() {
        let reason = file.other_contents().unwrap_or(
            "it contains no `-----BEGIN CERTIFICATE-----`: it must be a PEM file with CA certificates",
        );
        return Err(file.error(ROOTS, reason));
    }
    Ok(roots)
}

/// The parts of a configuration that concern the verification of clients.
pub(crate) struct ClientAuth {
    /// Requests a certificate and verifies it. The names of the roots are sent to clients.
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// The condition under which a session can be resumed.
    pub(crate) policy: ClientPolicy,
}

/// Reads the CA certificates if clients are verified.
pub(crate) fn client_auth(
    verify: Option<VerifyPeer>,
    cafile: Option<&PemSource>,
    provider: &Arc<CryptoProvider>,
    files: &mut FileStates,
) -> Result<ClientAuth, Error> {
    let mode = match (verify, cafile) {
        (None, Some(_)) => {
            return Err(Error::context(
                "`cafile` alone does not request client certificates: set `verify_peer` as well",
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
            "`verify_peer` requires `cafile`: a PEM file with the CA certificates for client certificates",
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
