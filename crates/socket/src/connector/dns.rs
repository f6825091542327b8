//! Host names, one address after the other.

use std::fmt;
use std::rc::Rc;

use super::attempts::Failures;
use super::resolver::addresses;
use super::{ConnectTarget, Connecting, ConnectorInterface, Resolver};
use crate::connection::Connection;
use crate::error::Error;

/// Looks host names up, and tries their addresses in the resolver's order until one connects.
///
/// An address that does not answer holds up the next one: [`HappyEyeballsConnector`](crate::HappyEyeballsConnector)
/// does not wait for it. Targets without a host name go to the inner connector as they are.
///
/// # Limits
/// 32 addresses of a name are tried. It has no time limit of its own; put a
/// [`TimeoutConnector`](crate::TimeoutConnector) inside for one on each attempt, or around it for one on the whole.
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
    /// Makes a connector that has `inner` connect to the addresses.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        DnsConnector {
            inner: Rc::new(inner),
            resolver: Resolver::system(),
        }
    }

    /// Sets who looks names up. Default: the system.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        let Some(addresses) = addresses(&self.resolver, &target).await? else {
            return self.inner.connect_target(target).await;
        };
        let mut failures = Failures::default();
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
