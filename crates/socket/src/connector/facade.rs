//! The usual connectors, put together.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::tcp::TLS_IS_ABOVE;
use super::{
    ConnectTarget, Connecting, ConnectorInterface, DnsConnector, HappyEyeballsConnector, Resolver,
    TcpConnector, TimeoutConnector, UnixConnector,
};
use crate::error::Error;
use crate::options::SocketOptions;
use crate::uri::ConnectUri;

/// Connects to anything: IP addresses, host names, Unix sockets, and what is added by scheme.
///
/// A host name is looked up by the system and its addresses are tried as [`HappyEyeballsConnector`] does, all within
/// 60 s. Clones have the same options.
///
/// # Limits
/// 60 s for everything together ([`timeout`](Connector::timeout)); 32 addresses of a name.
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
    schemes: BTreeMap<String, Scheme>,
}

/// Who serves a scheme.
#[derive(Clone)]
enum Scheme {
    Connector(Rc<dyn ConnectorInterface>),
    Layer(Rc<Layer>),
}

/// What puts a layer around a connector.
type Layer = dyn Fn(Rc<dyn ConnectorInterface>) -> Rc<dyn ConnectorInterface>;

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
    /// Makes a connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long connecting may take: look-up, attempts, and the handshakes of added schemes together. `None`
    /// leaves it to the system. Default: 60 s.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets whether the addresses of a name are tried as [`HappyEyeballsConnector`] does, or one after the other as
    /// [`DnsConnector`] does. Default: true.
    #[must_use]
    pub fn happy_eyeballs(mut self, staggered: bool) -> Self {
        self.happy_eyeballs = staggered;
        self
    }

    /// Sets after how long without an answer the next address of a name is tried, 10 ms at least. Default: 250 ms.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.attempt_delay = Some(delay);
        self
    }

    /// Sets whether `tcp://` is connected to. Default: true.
    #[must_use]
    pub fn tcp(mut self, allowed: bool) -> Self {
        self.tcp = allowed;
        self
    }

    /// Sets whether `unix:` is connected to: not a good idea where the address comes from others. Default: true.
    #[must_use]
    pub fn unix(mut self, allowed: bool) -> Self {
        self.unix = allowed;
        self
    }

    /// Sets who looks names up. Default: the system.
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

    /// Sets the address to connect from, with port 0 for any; addresses of the other family cannot be connected to
    /// then. Default: the system chooses.
    #[must_use]
    pub fn bind_to(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Has another connector serve a scheme: a new one, or `tcp` or `unix` in the place of the usual one. Default:
    /// `tcp` and `unix` are known.
    ///
    /// It is asked for the target as it is, with scheme and host name, and within the time limit of this one.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use uptick_socket::{Connecting, ConnectTarget, Connector, ConnectorInterface};
    ///
    /// /// Puts a layer on every connection of an inner connector.
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
            .insert(scheme, Scheme::Connector(Rc::new(connector)));
        self
    }

    /// Has a layer around this connector serve a scheme: what `layer` makes of it is asked for the target as it is, and
    /// asks for the same target with `tcp`. The layer's connections are made with the options of this connector, whatever
    /// is set before or after, and within its time limit. Default: there is none.
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
    ///         let below = self.0.connect_target(target.with_scheme("tcp"));
    ///         Connecting::new(async move {
    ///             let conn = below.await?;
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
        self.schemes
            .insert(scheme.to_ascii_lowercase(), Scheme::Layer(Rc::new(layer)));
        self
    }

    fn dial(&self, target: ConnectTarget) -> Connecting {
        match self.schemes.get(target.scheme()) {
            Some(Scheme::Connector(connector)) => return connector.connect_target(target),
            Some(Scheme::Layer(layer)) => {
                // The time limit is already that of the whole.
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
            return target.unfit(TLS_IS_ABOVE);
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
        target.unfit(format!(
            "this connector does not know the scheme {scheme:?}; it knows {known:?}"
        ))
    }
}

impl ConnectorInterface for Connector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        match self.timeout {
            Some(limit) => TimeoutConnector::new(Dial(self), limit).connect_target(target),
            None => self.dial(target),
        }
    }
}

/// A [`Connector`] without its time limit.
struct Dial<'a>(&'a Connector);

impl ConnectorInterface for Dial<'_> {
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
