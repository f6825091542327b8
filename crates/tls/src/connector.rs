//! A connector that speaks TLS over the connections of another.

mod handshake;
mod options;

use std::cell::OnceCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use uptick_event_loop::spawn_blocking;
use uptick_socket::{
    ConnectTarget, ConnectUri, Connecting, Connection, Connector, ConnectorInterface, Error,
};

use crate::context::TlsVersion;
use crate::error::Error as TlsError;
use crate::pem::{Passphrase, Source};
use crate::session::Session;
use options::Options;

/// Connects with TLS: it puts a layer on the connections of another connector.
///
/// The server's certificate has to be for the host name of the target, or for its IP address, and issued by somebody whom
/// the system trusts ([`cafile`](SecureConnector::cafile) names others). The addresses of the connection read `tls://`, other
/// than over a Unix socket, and
/// [`tls`](crate::TlsConnection::tls) says what was agreed on. Clones share the sessions that can be resumed.
///
/// Targets are `tls://HOST:PORT`, or what the inner connector knows without a scheme of its own: `HOST:PORT`, a Unix socket.
///
/// Files, and what the system trusts, are read when the first connection is made, on another thread.
///
/// # Limits
/// 10 s for a handshake ([`handshake_timeout`](SecureConnector::handshake_timeout)). Sessions of 256 servers are kept.
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
/// use uptick_tls::SecureConnector;
///
/// uptick_event_loop::spawn(async {
///     let connector = SecureConnector::new(Connector::new());
///     match connector.connect("example.com:443").await {
///         Ok(conn) => {
///             conn.on("data", |chunk: Bytes| println!("{chunk:?}"));
///             conn.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
///         }
///         // connecting to tls://example.com:443 failed during the TLS handshake: its certificate is for …
///         Err(error) => eprintln!("{error}"),
///     }
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct SecureConnector {
    inner: Rc<dyn ConnectorInterface>,
    options: Options,
    /// Made of the options when it is first needed.
    config: Rc<OnceCell<Arc<ClientConfig>>>,
}

/// A [`Connector`] that understands `tls://`, with the options of both: those that are set on it are those of the
/// connections below.
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
///
/// let connector = uptick_tls::connector();
/// uptick_event_loop::block_on(async move {
///     let secure = connector.connect("tls://example.com:443").await?;
///     let plain = connector.connect("example.com:80").await?;
///     # let _ = (secure, plain);
///     Ok::<_, Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connector() -> Connector {
    let secure = SecureConnector::new(Connector::new());
    Connector::new().with_layer("tls", move |below| secure.over(below))
}

impl SecureConnector {
    /// Makes a connector that has `inner` make the connections.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        SecureConnector {
            inner: Rc::new(inner),
            options: Options::default(),
            config: Rc::default(),
        }
    }

    /// The same over another connector, with the same sessions: for
    /// [`Connector::with_layer`](uptick_socket::Connector::with_layer).
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::prelude::*;
    /// use uptick_tls::SecureConnector;
    ///
    /// let secure = SecureConnector::new(Connector::new()).cafile("ca.pem");
    /// let connector = Connector::new().with_layer("tls", move |below| secure.over(below));
    /// ```
    #[must_use]
    pub fn over(&self, inner: impl ConnectorInterface + 'static) -> Self {
        SecureConnector {
            inner: Rc::new(inner),
            ..self.clone()
        }
    }

    /// Sets a PEM file with the certificates of those who are trusted to issue servers' certificates, or of the server
    /// itself if it has signed its own. Default: those whom the system trusts.
    #[must_use]
    pub fn cafile(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.cafile = Some(Source::File(path.into())))
    }

    /// Sets the same as a text in PEM, in place of a file. Default: none.
    #[must_use]
    pub fn cafile_pem(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|options| options.cafile = Some(Source::text("cafile_pem", text)))
    }

    /// Sets the PEM file with the certificate that is shown to servers which ask for one, those of its issuers behind it,
    /// and the private key if it is not in a file of its own. Default: none.
    #[must_use]
    pub fn local_cert(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.identity.cert = Some(Source::File(path.into())))
    }

    /// Sets the PEM file with the private key. Default: the file with the certificate.
    #[must_use]
    pub fn local_pk(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.identity.key = Some(Source::File(path.into())))
    }

    /// Sets what decrypts the private key, as
    /// [`TlsContext::passphrase`](crate::TlsContext::passphrase). Default: none.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<String>) -> Self {
        self.with(|options| options.identity.passphrase = Some(Passphrase::new(passphrase)))
    }

    /// Sets the name that is asked for (SNI) and that the certificate has to be for, a host name or an IP address.
    /// Default: that of the target; a Unix socket has none.
    #[must_use]
    pub fn peer_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.peer_name = Some(name.into()))
    }

    /// Sets the protocols that the server can choose from (ALPN, RFC 7301), the preferred one first. Default: none.
    #[must_use]
    pub fn alpn_protocols<P: Into<Vec<u8>>>(self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.with(|options| {
            options.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        })
    }

    /// Sets the oldest version of the protocol that is spoken. Default: TLS 1.2.
    #[must_use]
    pub fn min_version(self, version: TlsVersion) -> Self {
        self.with(|options| options.min_version = version)
    }

    /// Sets how long a handshake may take; `None` is for ever. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|options| options.handshake_timeout = timeout.into())
    }

    /// Sets whether sessions are kept, so that the next handshake with the same server is shorter. Default: true.
    #[must_use]
    pub fn session_resumption(self, kept: bool) -> Self {
        self.with(|options| options.session_resumption = kept)
    }

    /// Accepts any certificate, so that anybody in between can read and change everything: for tests only. Default: the
    /// certificate is verified.
    #[must_use]
    pub fn dangerous_accept_any_certificate(self) -> Self {
        self.with(|options| options.accept_any = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self.config = Rc::default();
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        let uri: Arc<str> = target.clone().with_scheme("tls").to_string().into();
        let unprepared = |error| failure(&uri, "before the TLS handshake", error);
        let name = self.server_name(&target).map_err(unprepared)?;
        let config = self.config().await.map_err(unprepared)?;
        let session = Session::client(config, name).map_err(unprepared)?;
        let conn = self.inner.connect_target(target.with_scheme("tcp")).await?;
        handshake::shake_hands(conn, session, uri, self.options.handshake_timeout).await
    }

    /// The name that the server's certificate has to be for.
    fn server_name(&self, target: &ConnectTarget) -> Result<ServerName<'static>, TlsError> {
        let name = match (&self.options.peer_name, target.host_name(), target.uri()) {
            (Some(name), _, _) => name,
            (None, Some(name), _) => name,
            (None, None, ConnectUri::Tcp(address)) => {
                return Ok(ServerName::IpAddress(address.ip().into()));
            }
            _ => {
                let reason =
                    "a Unix socket has no name that a certificate could be for: set `peer_name`";
                return Err(TlsError::context(reason));
            }
        };
        let plain = name.strip_suffix('.').unwrap_or(name);
        ServerName::try_from(plain.to_owned()).map_err(|_| {
            TlsError::context(format!(
                "no certificate can be for {name:?}: it is no host name"
            ))
        })
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let options = self.options.clone();
        let loaded = spawn_blocking(move || options.load()).await;
        let loaded = loaded.map_err(|error| TlsError::context(error.to_string()))??;
        // Of several that were begun at a time, one is used.
        Ok(Arc::clone(self.config.get_or_init(|| loaded)))
    }
}

fn failure(uri: &Arc<str>, when: &'static str, error: TlsError) -> Error {
    Error::ConnectLayer {
        uri: Arc::clone(uri),
        when: when.into(),
        source: Arc::new(error),
    }
}

impl ConnectorInterface for SecureConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        match target.scheme() {
            "tls" | "tcp" | "unix" => Connecting::new(self.clone().dial(target)),
            scheme => Connecting::failed(Error::InvalidUri {
                uri: target.to_string().into(),
                reason: format!("this connector knows tls://, not {scheme:?}").into(),
            }),
        }
    }
}

impl fmt::Debug for SecureConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureConnector")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
