//! A certificate with its private key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(feature = "x509")]
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, sign::SingleCertAndKey};
#[cfg(feature = "x509")]
use rustls_pki_types::UnixTime;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate;
use crate::error::Error;
use crate::files::FileStates;
use crate::pem::{CERTIFICATE, KEY, Passphrase, PemFile, PemSource};

/// The sources of a certificate and its private key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) cert: Option<PemSource>,
    pub(crate) key: Option<PemSource>,
    pub(crate) passphrase: Option<Passphrase>,
}

/// A chain of certificates and the key of the first one.
pub(crate) struct LoadedIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    cert_file: PemFile,
    key_file: Option<PemFile>,
}

impl Identity {
    /// Reads the certificate and the key. Returns `None` if no certificate is set.
    ///
    /// It checks the dates of the certificate, and that the key can be decrypted.
    pub(crate) fn load(&self, files: &mut FileStates) -> Result<Option<LoadedIdentity>, Error> {
        let Some(cert) = &self.cert else {
            return Ok(None);
        };
        let cert_file = PemFile::read(cert, CERTIFICATE, files)?;
        let chain = cert_file.chain()?;
        #[cfg(feature = "x509")]
        check_validity(&cert_file, &chain)?;
        let key_file = match &self.key {
            Some(key) => Some(PemFile::read(key, KEY, files)?),
            None => None,
        };
        let key = key_file
            .as_ref()
            .unwrap_or(&cert_file)
            .key(self.passphrase.as_ref())?;
        Ok(Some(LoadedIdentity {
            chain,
            key,
            cert_file,
            key_file,
        }))
    }
}

impl LoadedIdentity {
    /// Checks that the key matches the certificate and that both can be used.
    pub(crate) fn certify(self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        let LoadedIdentity {
            chain,
            key,
            cert_file,
            key_file,
        } = self;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| unusable(&cert_file, key_file.as_ref().unwrap_or(&cert_file), &error))
    }

    /// Returns a resolver that always returns this certificate.
    pub(crate) fn resolver(self, provider: &CryptoProvider) -> Result<SingleCertAndKey, Error> {
        Ok(SingleCertAndKey::from(Arc::new(self.certify(provider)?)))
    }
}

/// Returns the error for a certificate and a key that were parsed but cannot be used.
fn unusable(cert_file: &PemFile, key_file: &PemFile, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key_file.error(
            KEY,
            format!(
                "it does not match the first certificate in {}: check that both are from the same renewal, and that the \
                 server's certificate precedes those of its issuers",
                cert_file.path().display()
            ),
        ),
        rustls::Error::InvalidCertificate(error) if certificate::is_version_1(error) => {
            cert_file.error(CERTIFICATE, certificate::VERSION_1)
        }
        rustls::Error::InvalidCertificate(error) => {
            cert_file.error(CERTIFICATE, format!("it cannot be used: {error}"))
        }
        rustls::Error::General(reason) => key_file.error(
            KEY,
            format!(
                "it cannot be used: {reason}: create an RSA key of at least 2,048 bits, an ECDSA key on P-256 or P-384, or \
                 an Ed25519 key"
            ),
        ),
        error => key_file.error(KEY, format!("it cannot be used: {error}")),
    }
}

/// Returns an error if a certificate has expired or is not valid yet.
#[cfg(feature = "x509")]
fn check_validity(file: &PemFile, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
    let Some(own) = chain.first() else {
        return Ok(());
    };
    let (not_before, not_after) = certificate::validity(own)
        .map_err(|error| file.error(CERTIFICATE, format!("it cannot be parsed: {error}")))?;
    let now = Duration::from_secs(UnixTime::now().as_secs());
    let days = |from: Duration, to: Duration| to.saturating_sub(from).as_secs() / 86_400;
    if now > not_after {
        let days = days(not_after, now);
        return Err(file.error(
            CERTIFICATE,
            format!("it expired {days} days ago: renew it, or check the clock of this machine"),
        ));
    }
    if now < not_before {
        let days = days(now, not_before);
        return Err(file.error(
            CERTIFICATE,
            format!("it becomes valid in {days} days: check the clock of this machine"),
        ));
    }
    Ok(())
}

/// A server's certificate with its private key, for [`sni_server_certs`](crate::TlsContext::sni_server_certs) and
/// [`unknown_name`](crate::TlsContext::unknown_name).
///
/// # Examples
/// ```
/// use uptick_tls::ServerCert;
///
/// let both_in_one_file = ServerCert::from("/etc/ssl/example.org.pem");
/// let encrypted = ServerCert::new("/etc/ssl/example.com.pem")
///     .local_pk("/etc/ssl/private/example.com.key")
///     .passphrase("open sesame");
/// ```
#[derive(Clone, Debug)]
pub struct ServerCert(pub(crate) Identity);

impl ServerCert {
    /// Creates it from the PEM file with the certificate, followed by those of its issuers, and with the private key if it is not in
    /// its own file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ServerCert(Identity {
            cert: Some(PemSource::File(path.into())),
            ..Identity::default()
        })
    }

    /// Creates it from PEM texts. Errors name them `local_cert_pem` and `local_pk_pem`.
    pub fn from_pem(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        ServerCert(Identity {
            cert: Some(PemSource::text("local_cert_pem", certificate)),
            key: Some(PemSource::text("local_pk_pem", key)),
            passphrase: None,
        })
    }

    /// Sets the PEM file with the private key. Default: the file with the certificate.
    pub fn local_pk(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.key = Some(PemSource::File(path.into()));
        self
    }

    /// Sets the passphrase of the private key, like
    /// [`TlsContext::passphrase`](crate::TlsContext::passphrase). Default: none.
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.0.passphrase = Some(Passphrase::new(passphrase));
        self
    }
}

impl From<&str> for ServerCert {
    fn from(path: &str) -> Self {
        ServerCert::new(path)
    }
}

impl From<String> for ServerCert {
    fn from(path: String) -> Self {
        ServerCert::new(path)
    }
}

impl From<PathBuf> for ServerCert {
    fn from(path: PathBuf) -> Self {
        ServerCert::new(path)
    }
}

impl From<&Path> for ServerCert {
    fn from(path: &Path) -> Self {
        ServerCert::new(path)
    }
}
