//! Host names, whose addresses are tried concurrently (RFC 8305).

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;

use super::attempts::AttemptErrors;
use super::resolver::addresses;
use super::{ConnectTarget, Connecting, ConnectorInterface, Resolver};
use crate::connection::Connection;
use crate::error::Error;

/// A connector that resolves host names and starts attempts to their addresses at short intervals, so that an address
/// that does not respond causes little delay.
///
/// IPv6 and IPv4 addresses alternate, starting with the family of the resolver's first address
/// ([`alternate_families`](HappyEyeballsConnector::alternate_families)). The next attempt starts
/// 250 ms after the previous one, or as soon as one fails; the first connection wins, and the other attempts are
/// cancelled (RFC 8305, sections 4 and 5). Both families are looked up at once and awaited together, so there is no resolution
/// delay (RFC 8305, section 3). Targets without a host name are passed to the inner connector unchanged.
///
/// # Limits
/// At most 32 addresses of a name are tried. There is no timeout: wrap the connector in a
/// [`TimeoutConnector`](crate::TimeoutConnector).
///
/// # Examples
/// ```
/// use std::net::Ipv4Addr;
/// use uptick_socket::prelude::*;
/// use uptick_socket::{HappyEyeballsConnector, Resolver, TcpConnector};
///
/// let server = Server::bind("127.0.0.1:0")?;
/// # server.on(Server::CONNECTION, |_| ());
/// let address = server.address().unwrap().replace("127.0.0.1", "app.test");
/// // The first address has no listener and refuses, so the second is tried at once.
/// let resolver = Resolver::new(|_| async {
///     Ok(vec![Ipv4Addr::new(127, 0, 0, 2).into(), Ipv4Addr::LOCALHOST.into()])
/// });
/// let connector = HappyEyeballsConnector::new(TcpConnector::new()).resolver(resolver);
/// let conn = uptick_event_loop::block_on(connector.connect(address))??;
/// # assert_eq!(conn.remote_address(), server.address());
/// # server.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HappyEyeballsConnector {
    inner: Rc<dyn ConnectorInterface>,
    resolver: Resolver,
    delay: Duration,
    alternates: bool,
}

/// The recommended default and the minimum (RFC 8305, section 8).
const DEFAULT_DELAY: Duration = Duration::from_millis(250);
const MIN_DELAY: Duration = Duration::from_millis(10);

impl HappyEyeballsConnector {
    /// Creates a connector that connects to the addresses with `inner`.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        HappyEyeballsConnector {
            inner: Rc::new(inner),
            resolver: Resolver::system(),
            delay: DEFAULT_DELAY,
            alternates: true,
        }
    }

    /// Sets the resolver of host names. Default: the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets the delay after which the next address is tried, at least 10 ms. Default: 250 ms.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.delay = delay.max(MIN_DELAY);
        self
    }

    /// Sets whether IPv6 and IPv4 addresses alternate; otherwise the order is that of the resolver. Default: true.
    #[must_use]
    pub fn alternate_families(mut self, alternate: bool) -> Self {
        self.alternates = alternate;
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        match addresses(&self.resolver, &target).await? {
            Some(addresses) => {
                ConnectRace {
                    target,
                    inner: self.inner,
                    delay: self.delay,
                    waiting: match self.alternates {
                        true => interleave_families(addresses),
                        false => addresses.into(),
                    },
                    running: Vec::new(),
                    next: None,
                    failures: AttemptErrors::default(),
                }
                .await
            }
            None => self.inner.connect_target(target).await,
        }
    }
}

/// Interleaves the address families, starting with that of the first address (RFC 8305, section 4).
fn interleave_families(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut interleaved = VecDeque::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = interleaved.len();
        interleaved.extend(first.next());
        interleaved.extend(second.next());
        if interleaved.len() == before {
            return interleaved;
        }
    }
}

/// The concurrent attempts at the addresses of one target.
#[pin_project]
struct ConnectRace {
    target: ConnectTarget,
    inner: Rc<dyn ConnectorInterface>,
    delay: Duration,
    waiting: VecDeque<SocketAddr>,
    running: Vec<(SocketAddr, Connecting)>,
    /// The delay before the next attempt.
    #[pin]
    next: Option<Sleep>,
    failures: AttemptErrors,
}

impl Future for ConnectRace {
    type Output = Result<Connection, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let mut failed = false;
            let mut index = 0;
            while let Some((address, attempt)) = this.running.get_mut(index) {
                match Pin::new(attempt).poll(context) {
                    Poll::Ready(Ok(conn)) => {
                        this.running.clear();
                        return Poll::Ready(Ok(conn));
                    }
                    Poll::Ready(Err(error)) => {
                        this.failures.push(*address, error);
                        drop(this.running.remove(index));
                        failed = true;
                    }
                    Poll::Pending => index += 1,
                }
            }
            let due = match this.next.as_mut().as_pin_mut() {
                Some(delay) => delay.poll(context).is_ready(),
                None => true,
            };
            if failed || due {
                this.next.set(None);
                if let Some(address) = this.waiting.pop_front() {
                    let target = this.target.resolved(address);
                    this.running
                        .push((address, this.inner.connect_target(target)));
                    if !this.waiting.is_empty() {
                        this.next.set(Some(timeout(*this.delay)));
                    }
                    continue;
                }
            }
            if this.running.is_empty() {
                let failures = std::mem::take(this.failures);
                return Poll::Ready(Err(failures.into_error(this.target)));
            }
            return Poll::Pending;
        }
    }
}

impl ConnectorInterface for HappyEyeballsConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        Connecting::new(self.clone().dial(target))
    }
}

impl fmt::Debug for HappyEyeballsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HappyEyeballsConnector")
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
