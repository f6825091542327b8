//! The certificate of the TLS servers, and the clients that trust it.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// A PEM file with a self-signed ECDSA P-256 certificate for [`NAME`], and its key. The file is removed when this is
/// dropped.
pub(crate) struct Identity {
    file: PathBuf,
}

impl Identity {
    pub(crate) fn new() -> Result<Self> {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()])
            .context("creating a certificate failed")?;
        let file = env::temp_dir().join(format!("uptick-bench-{}.pem", process::id()));
        let identity = Self { file };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut pem = options
            .open(&identity.file)
            .with_context(|| format!("creating {} failed", identity.file.display()))?;
        write!(pem, "{}{}", own.cert.pem(), own.signing_key.serialize_pem())?;
        Ok(identity)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Returns a client configuration with only one choice: TLS 1.3, one cipher suite, one key exchange group, and a
    /// full handshake for each connection.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file)?)?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // A file left in the temporary directory is harmless.
        let _ = fs::remove_file(&self.file);
    }
}

/// Returns the default rustls configuration for the file of an [`Identity`], as the peers use it.
pub(crate) fn server(file: &Path, provider: CryptoProvider) -> Result<Arc<ServerConfig>> {
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(file)?],
            PrivateKeyDer::from_pem_file(file)?,
        )?;
    Ok(Arc::new(config))
}
