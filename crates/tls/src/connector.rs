//! A TLS connector over the connections of another connector.

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
use crate::pem::{Passphrase, PemSource};
use crate::session::Session;
use options::ConnectorOptions;

/// A connector that makes TLS connections over the connections of another connector.
///
/// The server's certificate must be valid for the host name or the IP address of the target, and issued by a CA that
/// the system trusts ([`cafile`](SecureConnector::cafile) sets others). The addresses of the connection begin with `tls://`, except
/// over a Unix socket. [`tls`](crate::TlsConnection::tls) returns the negotiated parameters. Clones share the sessions that can be
/// resumed.
///
/// Targets are `tls://HOST:PORT`, or targets of the inner connector without a scheme: `HOST:PORT`, a Unix socket.
///
/// Files, and the system's trusted CA certificates, are read for the first connection, on another thread.
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
///         // connecting to tls://example.com:443 failed during the TLS handshake: its certificate …
///         Err(error) => eprintln!("{error}"),
///     }
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct SecureConnector {
    inner: Rc<dyn ConnectorInterface>,
    options: ConnectorOptions,
    /// The configuration, created from the options for the first connection.
    config: Rc<OnceCell<Arc<ClientConfig>>>,
}

/// Returns a [`Connector`] that also supports `tls://`. ConnectorOptions set on it apply to the underlying
/// connections.
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
    /// Creates a connector that makes its connections through `inner`.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        SecureConnector {
            inner: Rc::new(inner),
            options: ConnectorOptions::default(),
            config: Rc::default(),
        }
    }

    /// Returns the same connector over another inner connector, with the same options and sessions. It is for
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

    /// Sets a PEM file with the trusted CA certificates, or with the certificate of the server
    /// itself if it is self-signed. Default: the CA certificates that the system trusts.
    #[must_use]
    pub fn cafile(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.cafile = Some(PemSource::File(path.into())))
    }

    /// Sets the same certificates as PEM text instead of a file. Default: none.
    #[must_use]
    pub fn cafile_pem(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|options| options.cafile = Some(PemSource::text("cafile_pem", text)))
    }

    /// Adds a PEM file with CA certificates that are trusted in addition to those of the system or of
    /// [`cafile`](SecureConnector::cafile). It may also contain the certificate of a server itself if it is self-signed.
    /// With such a file, a system without trusted CA certificates is not an error. Default: none.
    #[must_use]
    pub fn add_cafile(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.more_cafiles.push(PemSource::File(path.into())))
    }

    /// Adds the same certificates as PEM text instead of a file. Default: none.
    #[must_use]
    pub fn add_cafile_pem(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|options| {
            let text = PemSource::text("add_cafile_pem", text);
            options.more_cafiles.push(text);
        })
    }

    /// Sets the PEM file with the client certificate for servers that request one, followed by those of its issuers,
    /// and with the private key if it is not in its own file. Default: none.
    #[must_use]
    pub fn local_cert(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.identity.cert = Some(PemSource::File(path.into())))
    }

    /// Sets the PEM file with the private key. Default: the file with the certificate.
    #[must_use]
    pub fn local_pk(self, path: impl Into<PathBuf>) -> Self {
        self.with(|options| options.identity.key = Some(PemSource::File(path.into())))
    }

    /// Sets the passphrase of the private key, like
    /// [`TlsContext::passphrase`](crate::TlsContext::passphrase). Default: none.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<String>) -> Self {
        self.with(|options| options.identity.passphrase = Some(Passphrase::new(passphrase)))
    }

    /// Sets the server name that is sent (SNI) and verified against the certificate, a host name or an IP address.
    /// Default: the host of the target; a Unix socket has none.
    #[must_use]
    pub fn peer_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.peer_name = Some(name.into()))
    }

    /// Sets the offered protocols (ALPN, RFC 7301), the preferred one first. Default: none.
    #[must_use]
    pub fn alpn_protocols<P: Into<Vec<u8>>>(self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.with(|options| {
            options.alpn_protocols = protocols.into_iter().map(Into::into).collect();
        })
    }

    /// Sets the oldest supported version of the protocol. Default: TLS 1.2.
    #[must_use]
    pub fn min_version(self, version: TlsVersion) -> Self {
        self.with(|options| options.min_version = version)
    }

    /// Sets the timeout of a handshake; `None` for no timeout. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|options| options.handshake_timeout = timeout.into())
    }

    /// Enables or disables session resumption, which shortens the next handshake with the same server. Default: true.
    #[must_use]
    pub fn session_resumption(self, kept: bool) -> Self {
        self.with(|options| options.session_resumption = kept)
    }

    /// Disables the verification of certificates, so that an attacker on the network can read and change all data. For tests only. Default: the
    /// certificate is verified.
    #[must_use]
    pub fn dangerous_accept_any_certificate(self) -> Self {
        self.with(|options| options.accept_any = true)
    }

    fn with(mut self, change: impl FnOnce(&mut ConnectorOptions)) -> Self {
        change(&mut self.options);
        self.config = Rc::default();
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        let uri: Arc<str> = target.clone().with_scheme("tls").to_string().into();
        let not_connected = |error| failure(&uri, "before the TLS handshake", error);
        let name = self.server_name(&target).map_err(not_connected)?;
        let config = self.config().await.map_err(not_connected)?;
        let session = Session::client(config, name).map_err(not_connected)?;
        let conn = self.inner.connect_target(target.with_scheme("tcp")).await?;
        handshake::handshake(conn, session, uri, self.options.handshake_timeout).await
    }

    /// Returns the name to verify against the server's certificate.
    fn server_name(&self, target: &ConnectTarget) -> Result<ServerName<'static>, TlsError> {
        let name = match (&self.options.peer_name, target.host_name(), target.uri()) {
            (Some(name), _, _) => name,
            (None, Some(name), _) => name,
            (None, None, ConnectUri::Tcp(address)) => {
                return Ok(ServerName::IpAddress(address.ip().into()));
            }
            _ => {
                let reason = "a Unix socket has no host name to verify: set `peer_name`";
                return Err(TlsError::context(reason));
            }
        };
        let plain = name.strip_suffix('.').unwrap_or(name);
        ServerName::try_from(plain.to_owned())
            .map_err(|_| TlsError::context(format!("{name:?} is not a valid host name")))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let options = self.options.clone();
        let loaded = spawn_blocking(move || options.load()).await;
        let loaded = loaded.map_err(|error| TlsError::context(error.to_string()))??;
        // If several loads run concurrently, the first result is used.
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
                reason: format!("this connector supports tls://, not {scheme:?}").into(),
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
