//! Host names, whose addresses are tried one after the other.

use std::fmt;
use std::rc::Rc;

use super::attempts::AttemptErrors;
use super::resolver::addresses;
use super::{ConnectTarget, Connecting, ConnectorInterface, Resolver};
use crate::connection::Connection;
use crate::error::Error;

/// A connector that resolves host names and tries their addresses in the resolver's order until one connects.
///
/// An address that does not answer delays the next one; [`HappyEyeballsConnector`](crate::HappyEyeballsConnector)
/// avoids this delay. Targets without a host name are passed to the inner connector unchanged.
///
/// # Limits
/// At most 32 addresses of a name are tried. There is no timeout: wrap the inner connector in a
/// [`TimeoutConnector`](crate::TimeoutConnector) to limit each attempt, or wrap this connector to limit the whole.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
/// use uptick_socket::{DnsConnector, TcpConnector};
///
/// let server = Server::bind("127.0.0.1:0")?;
/// # server.on(Server::CONNECTION, |_| ());
/// let address = server.address().unwrap().replace("127.0.0.1", "localhost");
/// let connector = DnsConnector::new(TcpConnector::new());
/// let conn = uptick_event_loop::block_on(connector.connect(address))??;
/// # assert_eq!(conn.remote_address(), server.address());
/// # server.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DnsConnector {
    inner: Rc<dyn ConnectorInterface>,
    resolver: Resolver,
}

impl DnsConnector {
    /// Creates a connector that connects to the addresses with `inner`.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        DnsConnector {
            inner: Rc::new(inner),
            resolver: Resolver::system(),
        }
    }

    /// Sets the resolver of host names. Default: the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        let Some(addresses) = addresses(&self.resolver, &target).await? else {
            return self.inner.connect_target(target).await;
        };
        let mut failures = AttemptErrors::default();
        for address in addresses {
            match self.inner.connect_target(target.resolved(address)).await {
                Ok(conn) => return Ok(conn),
                Err(error) => failures.push(address, error),
            }
        }
        Err(failures.into_error(&target))
    }
}

impl ConnectorInterface for DnsConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        Connecting::new(self.clone().dial(target))
    }
}

impl fmt::Debug for DnsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsConnector").finish_non_exhaustive()
    }
}
