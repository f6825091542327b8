//! Certificates that sign themselves, for development.

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

/// How long a certificate is valid from now.
const VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// The longest common name (RFC 5280, appendix A.1), in characters.
const MAX_COMMON_NAME: usize = 64;

/// A certificate for development, which nobody has issued but its own key.
///
/// Clients accept it when they are given [`cert_pem`](SelfSigned::cert_pem) as somebody to trust. It becomes a
/// [`TlsContext`], or goes to a [`SecureServer`](crate::SecureServer) as it is.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
/// use uptick_tls::{SecureServer, self_signed};
///
/// let own = self_signed(["localhost", "127.0.0.1"])?;
/// let server = SecureServer::new(Server::bind("127.0.0.1:0")?, own);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SelfSigned {
    cert: String,
    key: Arc<Zeroizing<String>>,
}

/// Makes a certificate for some names and IP addresses: with a new key (ECDSA, P-256), valid from yesterday and for 30 days
/// from now.
///
/// # Errors
/// [`Error::Context`] when there is no name, or one that no certificate can have.
pub fn self_signed<N: Into<String>>(
    names: impl IntoIterator<Item = N>,
) -> Result<SelfSigned, Error> {
    let names: Vec<String> = names.into_iter().map(Into::into).collect();
    let Some(first) = names.first() else {
        return Err(Error::context(
            "a certificate needs a name: give one to `self_signed`, as \"localhost\"",
        ));
    };
    if names.iter().any(|name| name.is_empty()) {
        return Err(Error::context(
            "a certificate cannot be made for an empty name: leave it out of `self_signed`",
        ));
    }
    let common_name: String = first.chars().take(MAX_COMMON_NAME).collect();
    let failed = |error: rcgen::Error| {
        Error::context(format!(
            "a certificate cannot be made for {names:?}: {error}"
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
    /// The certificate in PEM, to give to clients.
    pub fn cert_pem(&self) -> &str {
        &self.cert
    }

    /// The private key in PEM, not encrypted.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// A context with this certificate.
    pub fn context(&self) -> TlsContext {
        TlsContext::new()
            .local_cert_pem(self.cert_pem())
            .local_pk_pem(self.key_pem())
    }

    /// Writes `self-signed.pem` and `self-signed.key` to a directory, in place of what is there; gives their paths.
    ///
    /// Only the user may read the key.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, directory: impl AsRef<Path>) -> Result<(PathBuf, PathBuf), Error> {
        let directory = directory.as_ref();
        let cert = directory.join("self-signed.pem");
        write(&cert, CERTIFICATE, self.cert_pem(), 0o644)?;
        let key = directory.join("self-signed.key");
        write(&key, KEY, self.key_pem(), 0o600)?;
        Ok((cert, key))
    }
}

/// Writes a new file and puts it in its place, so that its mode is that of a new one and no reader sees half of it.
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
        // It is an error already that it cannot be written.
        let _ = std::fs::remove_file(&new);
        Error::Write {
            what,
            path: Arc::new(path.to_path_buf()),
            source: Arc::new(source),
        }
    })
}

impl From<SelfSigned> for TlsContext {
    fn from(own: SelfSigned) -> Self {
        own.context()
    }
}

impl From<SelfSigned> for TlsConfig {
    fn from(own: SelfSigned) -> Self {
        own.context().into()
    }
}

impl From<SelfSigned> for ServerCert {
    fn from(own: SelfSigned) -> Self {
        ServerCert::from_pem(own.cert_pem(), own.key_pem())
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned").finish_non_exhaustive()
    }
}
