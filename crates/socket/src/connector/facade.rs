//! The usual combination of connectors.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::tcp::TLS_UNSUPPORTED;
use super::{
    ConnectTarget, Connecting, ConnectorInterface, DnsConnector, HappyEyeballsConnector, Resolver,
    TcpConnector, TimeoutConnector, UnixConnector,
};
use crate::error::Error;
use crate::options::SocketOptions;
use crate::uri::ConnectUri;

/// A connector to IP addresses, host names, Unix sockets, and addresses with added schemes.
///
/// A host name is looked up by the system, and its addresses are tried as by [`HappyEyeballsConnector`], all within 60
/// s. Clones have the same options.
///
/// # Limits
/// 60 s in total ([`timeout`](Connector::timeout)); 32 addresses of a name.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use uptick_socket::prelude::*;
///
/// uptick_event_loop::spawn(async {
///     let connector = Connector::new().timeout(Some(Duration::from_secs(3)));
///     match connector.connect("example.com:80").await {
///         Ok(conn) => {
///             conn.on("data", |chunk: Bytes| println!("{chunk:?}"));
///             conn.write("GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
///         }
///         // connecting to tcp://example.com:80 timed out after 3s (ETIMEDOUT)
///         Err(error) => eprintln!("{error}"),
///     }
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct Connector {
    timeout: Option<Duration>,
    happy_eyeballs: bool,
    attempt_delay: Option<Duration>,
    tcp: bool,
    unix: bool,
    resolver: Resolver,
    options: SocketOptions,
    source: Option<SocketAddr>,
    schemes: BTreeMap<String, SchemeHandler>,
}

/// The handler of a scheme.
#[derive(Clone)]
enum SchemeHandler {
    Connector(Rc<dyn ConnectorInterface>),
    Layer(Rc<LayerFactory>),
}

/// A function that wraps a connector in a layer.
type LayerFactory = dyn Fn(Rc<dyn ConnectorInterface>) -> Rc<dyn ConnectorInterface>;

const TIMEOUT: Duration = Duration::from_secs(60);

impl Default for Connector {
    fn default() -> Self {
        Connector {
            timeout: Some(TIMEOUT),
            happy_eyeballs: true,
            attempt_delay: None,
            tcp: true,
            unix: true,
            resolver: Resolver::system(),
            options: SocketOptions::new(),
            source: None,
            schemes: BTreeMap::new(),
        }
    }
}

impl Connector {
    /// Creates a connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the timeout of connecting as a whole: the name lookup, the attempts, and the handshakes of added schemes.
    /// `None` leaves it to the system. Default: 60 s.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets whether the addresses of a name are tried staggered, as by [`HappyEyeballsConnector`], or one after the
    /// other, as by [`DnsConnector`]. Default: true.
    #[must_use]
    pub fn happy_eyeballs(mut self, staggered: bool) -> Self {
        self.happy_eyeballs = staggered;
        self
    }

    /// Sets the delay after which the next address of a name is tried, at least 10 ms. Default: 250 ms.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = Some(delay);
        self
    }

    /// Sets whether `tcp://` addresses are allowed. Default: true.
    #[must_use]
    pub fn tcp(mut self, allowed: bool) -> Self {
        self.tcp = allowed;
        self
    }

    /// Sets whether `unix:` addresses are allowed. Disallow them if addresses come from untrusted sources. Default:
    /// true.
    #[must_use]
    pub fn unix(mut self, allowed: bool) -> Self {
        self.unix = allowed;
        self
    }

    /// Sets the resolver of host names. Default: the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets the options of the sockets. Default: see [`SocketOptions`].
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the local address to connect from; port 0 selects a free port. Connecting to an address of the other family
    /// then fails. Default: chosen by the system.
    #[must_use]
    pub fn bind_to(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the connector for a scheme: a new scheme, or `tcp` or `unix` in place of the built-in connectors.
    ///
    /// The connector gets the target unchanged, with its scheme and host name, and runs within the timeout of this
    /// connector. Default: `tcp` and `unix` are supported.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use uptick_socket::{Connecting, ConnectTarget, Connector, ConnectorInterface};
    ///
    /// /// Adds a layer to every connection of an inner connector.
    /// struct Layered<C>(C);
    ///
    /// impl<C: ConnectorInterface> ConnectorInterface for Layered<C> {
    ///     fn connect_target(&self, target: ConnectTarget) -> Connecting {
    ///         let name = target.host_name().map(str::to_owned);
    ///         let inner = self.0.connect_target(target.with_scheme("tcp"));
    ///         Connecting::new(async move {
    ///             let conn = inner.await?;
    ///             println!("{name:?} is at {:?}", conn.remote_address());
    ///             // conn.add_filter(…), of uptick_socket::engine::Engine, goes here.
    ///             Ok(conn)
    ///         })
    ///     }
    /// }
    /// let connector = Connector::new().with_scheme("layered", Layered(Connector::new()));
    /// let connecting = connector.connect("layered://example.com:80");
    /// # drop(connecting);
    /// ```
    #[must_use]
    pub fn with_scheme(
        mut self,
        scheme: &str,
        connector: impl ConnectorInterface + 'static,
    ) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        self.schemes
            .insert(scheme, SchemeHandler::Connector(Rc::new(connector)));
        self
    }

    /// Sets the connector for a scheme to a layer around this connector. The connector that `layer` returns gets the
    /// target unchanged, and connects to the same target with the scheme `tcp` through the connector that it wraps. Its
    /// connections have the options of this connector, whether they are set before or after this call, and run within
    /// its timeout. Default: none.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use uptick_socket::{Connecting, ConnectTarget, Connector, ConnectorInterface};
    ///
    /// struct Layered(Rc<dyn ConnectorInterface>);
    ///
    /// impl ConnectorInterface for Layered {
    ///     fn connect_target(&self, target: ConnectTarget) -> Connecting {
    ///         let inner = self.0.connect_target(target.with_scheme("tcp"));
    ///         Connecting::new(async move {
    ///             let conn = inner.await?;
    ///             // conn.add_filter(…), of uptick_socket::engine::Engine, goes here.
    ///             Ok(conn)
    ///         })
    ///     }
    /// }
    /// let connector = Connector::new().with_layer("layered", Layered);
    /// let connecting = connector.connect("layered://example.com:80");
    /// # drop(connecting);
    /// ```
    #[must_use]
    pub fn with_layer<C: ConnectorInterface + 'static>(
        mut self,
        scheme: &str,
        layer: impl Fn(Rc<dyn ConnectorInterface>) -> C + 'static,
    ) -> Self {
        let layer = move |below| Rc::new(layer(below)) as Rc<dyn ConnectorInterface>;
        self.schemes.insert(
            scheme.to_ascii_lowercase(),
            SchemeHandler::Layer(Rc::new(layer)),
        );
        self
    }

    fn dial(&self, target: ConnectTarget) -> Connecting {
        match self.schemes.get(target.scheme()) {
            Some(SchemeHandler::Connector(connector)) => return connector.connect_target(target),
            Some(SchemeHandler::Layer(layer)) => {
                // The timeout of this connector already covers the whole.
                let below = self.clone().timeout(None);
                return layer(Rc::new(below)).connect_target(target);
            }
            None => {}
        }
        match target.scheme() {
            "tcp" if self.tcp => self.dial_tcp(target),
            "unix" if self.unix => UnixConnector::new()
                .socket(self.options.clone())
                .connect_target(target),
            scheme => Connecting::failed(self.unknown(&target, scheme)),
        }
    }

    fn dial_tcp(&self, target: ConnectTarget) -> Connecting {
        let mut tcp = TcpConnector::new().socket(self.options.clone());
        if let Some(source) = self.source {
            tcp = tcp.bind_to(source);
        }
        if !matches!(target.uri(), ConnectUri::Host { .. }) {
            return tcp.connect_target(target);
        }
        let resolver = self.resolver.clone();
        if !self.happy_eyeballs {
            let connector = DnsConnector::new(tcp).resolver(resolver);
            return connector.connect_target(target);
        }
        let mut connector = HappyEyeballsConnector::new(tcp).resolver(resolver);
        if let Some(delay) = self.attempt_delay {
            connector = connector.attempt_delay(delay);
        }
        connector.connect_target(target)
    }

    fn unknown(&self, target: &ConnectTarget, scheme: &str) -> Error {
        if scheme == "tls" {
            return target.unsupported(TLS_UNSUPPORTED);
        }
        let usual = [("tcp", self.tcp), ("unix", self.unix)];
        let usual = usual
            .iter()
            .filter(|(_, on)| *on)
            .map(|(scheme, _)| *scheme);
        let mut known: Vec<&str> = usual
            .chain(self.schemes.keys().map(String::as_str))
            .collect();
        known.sort_unstable();
        known.dedup();
        target.unsupported(format!(
            "this connector does not support the scheme {scheme:?}; it supports {known:?}"
        ))
    }
}

impl ConnectorInterface for Connector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        match self.timeout {
            Some(limit) => {
                TimeoutConnector::new(WithoutTimeout(self), limit).connect_target(target)
            }
            None => self.dial(target),
        }
    }
}

/// A [`Connector`] without its timeout.
struct WithoutTimeout<'a>(&'a Connector);

impl ConnectorInterface for WithoutTimeout<'_> {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        self.0.dial(target)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("timeout", &self.timeout)
            .field("schemes", &self.schemes.keys())
            .finish_non_exhaustive()
    }
}
