//! What a server needs for TLS: its certificate, and what it offers.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig, version};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::error::Error;
use crate::pem::{CERTIFICATE, KEY, PemFile};
use crate::provider::provider;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

/// What a [`SecureServer`](crate::SecureServer) is to be made with: certificate, private key, protocols.
///
/// # Limits
/// Files are read up to 1 MiB. Sessions can be resumed; the last 256 are kept. Early data (0-RTT) is never taken.
///
/// # Examples
/// ```no_run
/// use uptick_tls::{TlsContext, TlsVersion};
///
/// let tls = TlsContext::new()
///     .local_cert("/etc/ssl/example.org.pem")
///     .local_pk("/etc/ssl/private/example.org.key")
///     .alpn_protocols(["http/1.1"])
///     .min_version(TlsVersion::V1_3)
///     .load()?;
/// # Ok::<(), uptick_tls::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TlsContext {
    local_cert: Option<PathBuf>,
    local_pk: Option<PathBuf>,
    alpn_protocols: Vec<Vec<u8>>,
    min_version: TlsVersion,
}

impl TlsContext {
    /// A context without a certificate, which has to be set.
    pub fn new() -> Self {
        TlsContext::default()
    }

    /// Sets the PEM file with the certificate, those of its issuers behind it, and the private key if it is not in a
    /// file of its own. Default: none, which is an error.
    pub fn local_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.local_cert = Some(path.into());
        self
    }

    /// Sets the PEM file with the private key: PKCS#8, PKCS#1 or SEC 1, not encrypted. Default: the file with the
    /// certificate.
    pub fn local_pk(mut self, path: impl Into<PathBuf>) -> Self {
        self.local_pk = Some(path.into());
        self
    }

    /// Sets the protocols that clients can choose from (ALPN, RFC 7301), the preferred one first. A client that offers
    /// only others is refused, one that offers none is not. Default: none.
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the oldest version of the protocol that is spoken. Default: TLS 1.2.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Reads the files and checks what is in them.
    ///
    /// # Errors
    /// [`Error::Read`] when a file cannot be read; [`Error::Load`] when it has no certificate or no key, when they do not
    /// belong together or cannot be used, and when the certificate has expired or is not valid yet;
    /// [`Error::Context`] when there is no `local_cert` or a protocol's name is wrong.
    pub fn load(&self) -> Result<TlsConfig, Error> {
        let Some(path) = &self.local_cert else {
            let reason = "a server needs a certificate: set `local_cert` to a PEM file";
            return Err(Error::context(reason));
        };
        for name in &self.alpn_protocols {
            if name.is_empty() || name.len() > 255 {
                let length = name.len();
                return Err(Error::context(format!(
                    "the name of an ALPN protocol has 1 to 255 bytes, and one of `alpn_protocols` has {length}"
                )));
            }
        }
        let cert_file = PemFile::read(path, CERTIFICATE)?;
        let chain = cert_file.chain()?;
        check_validity(&cert_file, &chain)?;
        let key_file = match &self.local_pk {
            Some(path) => &PemFile::read(path, KEY)?,
            None => &cert_file,
        };
        let key = key_file.key()?;
        let versions: &[_] = match self.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| Error::context(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&cert_file, key_file, &error))?;
        config.alpn_protocols.clone_from(&self.alpn_protocols);
        config.max_early_data_size = 0;
        Ok(TlsConfig {
            server: Arc::new(config),
        })
    }
}

/// Why a certificate and a key cannot be used, although each is one.
fn unusable(cert_file: &PemFile, key_file: &PemFile, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key_file.error(
            KEY,
            format!(
                "it does not belong to the certificate in {}, the first one there: check that both are of the same \
                 renewal, and that the server's certificate comes before those of its issuers",
                cert_file.path().display()
            ),
        ),
        rustls::Error::InvalidCertificate(_) => {
            cert_file.error(CERTIFICATE, format!("it cannot be used: {error}"))
        }
        error => key_file.error(KEY, format!("it cannot be used: {error}")),
    }
}

/// Refuses a certificate that clients would refuse now for its dates.
fn check_validity(file: &PemFile, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
    let Some((own, issuers)) = chain.split_first() else {
        return Ok(());
    };
    let parsed = ParsedCertificate::try_from(own)
        .map_err(|error| file.error(CERTIFICATE, format!("it cannot be parsed: {error}")))?;
    let now = UnixTime::now();
    // The dates come first. Whether an issuer is trusted, which none is here, is for the clients to say.
    let checked = verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        issuers,
        now,
        provider().signature_verification_algorithms.all,
    );
    let days = |from: UnixTime, to: UnixTime| to.as_secs().saturating_sub(from.as_secs()) / 86_400;
    match checked {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => {
            let days = days(not_after, now);
            Err(file.error(
                CERTIFICATE,
                format!("it expired {days} days ago: renew it, or check the clock of this machine"),
            ))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        })) => {
            let days = days(now, not_before);
            Err(file.error(
                CERTIFICATE,
                format!("it is not valid for {days} more days: check the clock of this machine"),
            ))
        }
        _ => Ok(()),
    }
}

/// A [`TlsContext`] that is loaded. Clones share everything, also the sessions that can be resumed.
#[derive(Clone)]
pub struct TlsConfig {
    pub(crate) server: Arc<ServerConfig>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}
