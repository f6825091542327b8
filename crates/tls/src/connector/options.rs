//! The options of a connector: offered parameters and trusted CAs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore, version};

use crate::context::TlsVersion;
use crate::error::Error;
use crate::files::FileStates;
use crate::identity::Identity;
use crate::peers::roots;
use crate::pem::PemSource;
use crate::provider::provider;
use crate::verifier::{AcceptAny, ServerVerifier};

/// The default timeout of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct ConnectorOptions {
    pub(super) cafile: Option<PemSource>,
    /// Trusted CA certificates in addition to `cafile` or to those of the system.
    pub(super) more_cafiles: Vec<PemSource>,
    pub(super) identity: Identity,
    pub(super) peer_name: Option<String>,
    pub(super) alpn_protocols: Vec<Vec<u8>>,
    pub(super) min_version: TlsVersion,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) session_resumption: bool,
    pub(super) accept_any: bool,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        ConnectorOptions {
            cafile: None,
            more_cafiles: Vec::new(),
            identity: Identity::default(),
            peer_name: None,
            alpn_protocols: Vec::new(),
            min_version: TlsVersion::default(),
            handshake_timeout: Some(HANDSHAKE_TIMEOUT),
            session_resumption: true,
            accept_any: false,
        }
    }
}

impl ConnectorOptions {
    /// Reads the files and creates the configuration for rustls. It may block for some milliseconds.
    pub(super) fn load(&self) -> Result<Arc<ClientConfig>, Error> {
        let provider = provider();
        let mut files = FileStates::default();
        let failed = |error: rustls::Error| Error::context(error.to_string());
        let versions: &[_] = match self.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(failed)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(&mut files)?);
        let mut config = match self.identity.load(&mut files)? {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(identity.resolver(&provider)?))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn_protocols);
        // After the handshake, this crate processes the records.
        config.enable_secret_extraction = true;
        if !self.session_resumption {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }

    fn verifier(&self, files: &mut FileStates) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let provider = provider();
        if self.accept_any {
            return Ok(Arc::new(AcceptAny(provider)));
        }
        let roots = self.roots(files)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| Error::context(error.to_string()))?;
        Ok(Arc::new(ServerVerifier(verifier)))
    }

    /// Returns the trusted CA certificates.
    fn roots(&self, files: &mut FileStates) -> Result<Arc<RootCertStore>, Error> {
        let base = match &self.cafile {
            Some(source) => roots(source, files).map(Arc::new),
            None => system_roots(),
        };
        if self.more_cafiles.is_empty() {
            return base;
        }
        let mut all = match base {
            Ok(base) => RootCertStore::clone(&base),
            Err(_) if self.cafile.is_none() => RootCertStore::empty(),
            Err(error) => return Err(error),
        };
        for source in &self.more_cafiles {
            all.extend(roots(source, files)?.roots);
        }
        Ok(Arc::new(all))
    }
}

/// Returns the CA certificates that the system trusts. They are read once.
fn system_roots() -> Result<Arc<RootCertStore>, Error> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems have certificates that rustls cannot parse.
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let reason = match loaded.errors.first() {
            Some(error) => format!(" ({error})"),
            None => String::new(),
        };
        return Err(Error::context(format!(
            "this system has no trusted CA certificates{reason}: install them (Debian: ca-certificates), or \
             set `cafile`"
        )));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}
