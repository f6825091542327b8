//! Self-signed certificates for development.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls_pki_types::UnixTime;
use zeroize::Zeroizing;

use crate::config::TlsConfig;
use crate::context::TlsContext;
use crate::error::Error;
use crate::identity::ServerCert;
use crate::pem::{CERTIFICATE, KEY};

const DAY: Duration = Duration::from_secs(86_400);

/// The validity of a certificate from now.
const VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// The maximum length of a common name (RFC 5280, appendix A.1), in characters.
const MAX_COMMON_NAME: usize = 64;

/// A self-signed certificate with its private key, for development.
///
/// Clients accept it if [`cert_pem`](SelfSigned::cert_pem) is added to their trusted certificates. It converts to a
/// [`TlsContext`], and can be passed to a [`SecureServer`](crate::SecureServer) directly.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
/// use uptick_tls::{SecureServer, self_signed};
///
/// let certificate = self_signed(["localhost", "127.0.0.1"])?;
/// let server = SecureServer::new(Server::bind("127.0.0.1:0")?, certificate);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SelfSigned {
    cert: String,
    key: Arc<Zeroizing<String>>,
}

/// Creates a self-signed certificate for host names and IP addresses, with a new key (ECDSA, P-256). It is valid from yesterday until 30
/// days from now.
///
/// # Errors
/// [`Error::Context`] if there is no name, or an invalid one.
pub fn self_signed<N: Into<String>>(
    names: impl IntoIterator<Item = N>,
) -> Result<SelfSigned, Error> {
    let names: Vec<String> = names.into_iter().map(Into::into).collect();
    let Some(first) = names.first() else {
        return Err(Error::context(
            "a certificate needs a name: pass one to `self_signed`, such as \"localhost\"",
        ));
    };
    if names.iter().any(|name| name.is_empty()) {
        return Err(Error::context(
            "a certificate cannot be created for an empty name: remove it from the names of `self_signed`",
        ));
    }
    let common_name: String = first.chars().take(MAX_COMMON_NAME).collect();
    let failed = |error: rcgen::Error| {
        Error::context(format!(
            "a certificate cannot be created for {names:?}: {error}"
        ))
    };
    let mut params = CertificateParams::new(names.clone()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let epoch = date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(UnixTime::now().as_secs());
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + (now + VALIDITY);
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.self_signed(&key).map_err(failed)?;
    Ok(SelfSigned {
        cert: cert.pem(),
        key: Arc::new(Zeroizing::new(key.serialize_pem())),
    })
}

impl SelfSigned {
    /// Returns the certificate in PEM, for clients.
    pub fn cert_pem(&self) -> &str {
        &self.cert
    }

    /// Returns the private key in PEM, not encrypted.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// Returns a context with this certificate.
    pub fn context(&self) -> TlsContext {
        TlsContext::new()
            .local_cert_pem(self.cert_pem())
            .local_pk_pem(self.key_pem())
    }

    /// Writes `self-signed.pem` and `self-signed.key` to a directory, replacing existing files, and returns their paths.
    ///
    /// The key is readable only by its owner.
    ///
    /// # Errors
    /// [`Error::Write`] if a file cannot be written.
    pub fn write(&self, directory: impl AsRef<Path>) -> Result<(PathBuf, PathBuf), Error> {
        let directory = directory.as_ref();
        let cert = directory.join("self-signed.pem");
        write(&cert, CERTIFICATE, self.cert_pem(), 0o644)?;
        let key = directory.join("self-signed.key");
        write(&key, KEY, self.key_pem(), 0o600)?;
        Ok((cert, key))
    }
}

/// Writes a new file and renames it, so that it gets the mode and no reader sees a partial file.
fn write(path: &Path, what: &'static str, text: &str, mode: u32) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|source| {
        // The write error is returned, not this one.
        let _ = std::fs::remove_file(&new);
        Error::Write {
            what,
            path: Arc::new(path.to_path_buf()),
            source: Arc::new(source),
        }
    })
}

impl From<SelfSigned> for TlsContext {
    fn from(certificate: SelfSigned) -> Self {
        certificate.context()
    }
}

impl From<SelfSigned> for TlsConfig {
    fn from(certificate: SelfSigned) -> Self {
        certificate.context().into()
    }
}

impl From<SelfSigned> for ServerCert {
    fn from(certificate: SelfSigned) -> Self {
        ServerCert::from_pem(certificate.cert_pem(), certificate.key_pem())
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned").finish_non_exhaustive()
    }
}
