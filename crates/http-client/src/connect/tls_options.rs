//! The TLS options of a destination.

use std::fmt;
use std::rc::Rc;

#[cfg(feature = "tls")]
use std::path::PathBuf;
#[cfg(feature = "tls")]
use uptick_tls::{SecureConnector, TlsVersion};

/// The TLS options of requests.
///
/// Requests with equal options can share a connection. Cloning does not allocate. The setters require the feature `tls`, which is on by
/// default.
///
/// # Examples
/// ```
/// use uptick_http_client::TlsOptions;
///
/// let tls = TlsOptions::new().cafile("company-ca.pem");
/// # let _ = tls;
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsOptions(Option<Rc<TlsSettings>>);

/// No settings, as there is no TLS.
#[cfg(not(feature = "tls"))]
type TlsSettings = std::convert::Infallible;

#[cfg(feature = "tls")]
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct TlsSettings {
    cafiles: Vec<PemSource>,
    local_cert: Option<PathBuf>,
    local_pk: Option<PathBuf>,
    passphrase: Option<String>,
    accept_any: bool,
    min_version: TlsVersion,
    server_name: Option<String>,
}

/// The source of PEM.
#[cfg(feature = "tls")]
#[derive(Clone, PartialEq, Eq, Hash)]
enum PemSource {
    File(PathBuf),
    Text(Vec<u8>),
}

impl TlsOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(feature = "tls")]
impl TlsOptions {
    /// Adds a PEM file with CA certificates that are trusted beside those of the system, or with the certificate of the server itself if
    /// it is self-signed. The file is read for the first connection. Default: none.
    #[must_use]
    pub fn cafile(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.cafiles.push(PemSource::File(path.into())))
    }

    /// Adds the same certificates as PEM text instead of a file. Default: none.
    #[must_use]
    pub fn cafile_pem(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|settings| settings.cafiles.push(PemSource::Text(text.into())))
    }

    /// Sets the PEM file with the client certificate for servers that request one, followed by those of its issuers, and with the private
    /// key if it is not in its own file. Default: none.
    #[must_use]
    pub fn local_cert(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.local_cert = Some(path.into()))
    }

    /// Sets the PEM file with the private key of the client certificate. Default: the file with the certificate.
    #[must_use]
    pub fn local_pk(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.local_pk = Some(path.into()))
    }

    /// Sets the passphrase of the private key. Default: none.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<String>) -> Self {
        self.with(|settings| settings.passphrase = Some(passphrase.into()))
    }

    /// Sets the oldest supported version of TLS. Default: TLS 1.2.
    #[must_use]
    pub fn min_version(self, version: TlsVersion) -> Self {
        self.with(|settings| settings.min_version = version)
    }

    /// Sets the server name that is sent (SNI) and verified against the certificate, a host name or an IP address. Default: the host of
    /// the URL.
    #[must_use]
    pub fn server_name(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.server_name = Some(name.into()))
    }

    /// Disables the verification of certificates, so that an attacker on the network can read and change all data. For tests only.
    /// Default: the certificate is verified.
    #[must_use]
    pub fn dangerous_accept_any_certificate(self) -> Self {
        self.with(|settings| settings.accept_any = true)
    }

    fn with(mut self, change: impl FnOnce(&mut TlsSettings)) -> Self {
        change(Rc::make_mut(self.0.get_or_insert_default()));
        self
    }

    /// Sets the options on a connector.
    pub(super) fn apply(&self, connector: SecureConnector) -> SecureConnector {
        let Some(settings) = self.0.as_deref() else {
            return connector;
        };
        let mut connector = connector.min_version(settings.min_version);
        for cafile in &settings.cafiles {
            connector = match cafile {
                PemSource::File(path) => connector.add_cafile(path),
                PemSource::Text(text) => connector.add_cafile_pem(text.clone()),
            };
        }
        if let Some(path) = &settings.local_cert {
            connector = connector.local_cert(path);
        }
        if let Some(path) = &settings.local_pk {
            connector = connector.local_pk(path);
        }
        if let Some(passphrase) = &settings.passphrase {
            connector = connector.passphrase(passphrase);
        }
        if let Some(name) = &settings.server_name {
            connector = connector.peer_name(name);
        }
        match settings.accept_any {
            true => connector.dangerous_accept_any_certificate(),
            false => connector,
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "tls")]
        if let Some(settings) = &self.0 {
            return settings.fmt(f);
        }
        f.write_str("TlsOptions")
    }
}

#[cfg(feature = "tls")]
impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("cafiles", &self.cafiles)
            .field("local_cert", &self.local_cert)
            .field("local_pk", &self.local_pk)
            .field("accept_any", &self.accept_any)
            .field("min_version", &self.min_version)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "tls")]
impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PemSource::File(path) => path.fmt(f),
            PemSource::Text(_) => f.write_str("(a text)"),
        }
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;

    #[test]
    fn equal_options_are_equal_however_they_were_created() {
        let options = || {
            TlsOptions::new()
                .cafile("ca.pem")
                .server_name("app.test")
                .passphrase("secret")
        };
        assert_eq!(options(), options());
        assert_ne!(options(), options().cafile("other.pem"));
        assert_ne!(options(), options().passphrase("other"));
        assert_ne!(options(), options().dangerous_accept_any_certificate());
        let copy = options();
        let changed = copy.clone().cafile_pem("x");
        assert_eq!(copy, options());
        assert_ne!(copy, changed);
    }

    #[test]
    fn secrets_are_not_displayed() {
        let options = TlsOptions::new().passphrase("secret").cafile_pem("secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
