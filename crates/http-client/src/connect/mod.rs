//! Connections to the servers of requests: name resolution, TCP or a Unix socket, a proxy, and TLS with ALPN.

mod connection_guard;
mod destination;
mod dial;
mod environment;
mod failure;
mod no_proxy;
mod proxy;
mod proxy_mode;
mod resolve;
#[cfg(feature = "tls")]
mod secure;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod secure;
#[cfg(test)]
mod tests;
mod tls_options;
mod tunnel;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_socket::{Connection, ConnectorInterface, Resolver};

use crate::error::{ErrorKind, Failure};
use crate::timeout::within;
use crate::url::Scheme;

pub(crate) use destination::Destination;
pub use destination::Http2Mode;
pub use proxy::Proxy;
pub use proxy_mode::ProxyMode;
pub(crate) use resolve::Resolve;
pub use tls_options::TlsOptions;

use resolve::ResolveCache;
use secure::SecureConnectors;

/// The version of HTTP on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// An established connection.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) conn: Connection,
    pub(crate) protocol: Protocol,
}

/// The options of a connection attempt that do not distinguish destinations.
#[derive(Clone)]
pub(crate) struct ConnectOptions {
    /// Maximum time of name resolution, TCP connection and proxy exchange together.
    pub(crate) connect_timeout: Option<Duration>,
    /// Maximum time of the TLS handshake.
    pub(crate) tls_timeout: Option<Duration>,
    /// Addresses of names that are used instead of DNS queries.
    pub(crate) resolve: Resolve,
    /// A connector that replaces TCP, Unix sockets and name resolution.
    pub(crate) connector: Option<Rc<dyn ConnectorInterface>>,
}

/// The default of [`ConnectOptions::connect_timeout`] and [`ConnectOptions::tls_timeout`].
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            connect_timeout: Some(DEFAULT_TIMEOUT),
            tls_timeout: Some(DEFAULT_TIMEOUT),
            resolve: Resolve::default(),
            connector: None,
        }
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("tls_timeout", &self.tls_timeout)
            .field("resolve", &self.resolve)
            .finish_non_exhaustive()
    }
}

/// The state that connection attempts share: resolved names, and TLS configurations with their sessions.
#[derive(Default)]
pub(crate) struct Connectors {
    names: ResolveCache,
    secure: SecureConnectors,
}

impl Connectors {
    /// Uses this resolver of host names instead of the system's.
    pub(crate) fn with_resolver(resolver: Resolver) -> Connectors {
        Connectors {
            names: ResolveCache::new(resolver),
            ..Connectors::default()
        }
    }

    /// Returns the resolver of host names.
    pub(crate) fn resolver(&self) -> Resolver {
        self.names.resolver()
    }
}

/// Connects to a destination. Dropping the future closes its sockets and cancels its timers.
pub(crate) async fn connect(
    connectors: &Connectors,
    destination: &Destination,
    options: &ConnectOptions,
) -> Result<Connected, Failure> {
    #[cfg(not(feature = "tls"))]
    if destination.scheme == Scheme::Https {
        return Err(secure::unsupported(destination));
    }
    let dialing = dial::dial(&connectors.names, destination, options);
    let Some(dialed) = within(options.connect_timeout, dialing).await else {
        return Err(failure::timed_out(
            ErrorKind::ConnectTimeout,
            format_args!("connecting to {destination}"),
            options.connect_timeout,
        ));
    };
    let conn = dialed?;
    let protocol = match (destination.scheme, destination.http2) {
        (Scheme::Https, _) => {
            return secure::secure(&connectors.secure, conn, destination, options.tls_timeout)
                .await;
        }
        (Scheme::Http, Http2Mode::Only) => Protocol::Http2,
        (Scheme::Http, Http2Mode::Auto | Http2Mode::Never) => Protocol::Http1,
    };
    Ok(Connected {
        conn: conn.release(),
        protocol,
    })
}
