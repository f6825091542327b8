//! Host names, several addresses at a time (RFC 8305).

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

use super::attempts::Failures;
use super::resolver::addresses;
use super::{ConnectTarget, Connecting, ConnectorInterface, Resolver};
use crate::connection::Connection;
use crate::error::Error;

/// Looks host names up, and tries their addresses staggered, so that one that does not answer costs little time.
///
/// IPv6 and IPv4 addresses take turns, beginning with the family of the resolver's first. The next attempt starts
/// 250 ms after the last, or as soon as one fails; the first that connects wins, and the others are given up
/// (RFC 8305, 4 and 5). Both families are looked up at once and waited for together, so there is no resolution delay
/// (RFC 8305, 3). Targets without a host name go to the inner connector as they are.
///
/// # Limits
/// 32 addresses of a name are tried. It has no time limit of its own: put a
/// [`TimeoutConnector`](crate::TimeoutConnector) around it.
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
/// // Nobody listens on the first, which is refused, and the second is tried at once.
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
}

/// RFC 8305, 8: recommended as the default, and the least that is allowed.
const DEFAULT_DELAY: Duration = Duration::from_millis(250);
const LEAST_DELAY: Duration = Duration::from_millis(10);

impl HappyEyeballsConnector {
    /// Makes a connector that has `inner` connect to the addresses.
    pub fn new(inner: impl ConnectorInterface + 'static) -> Self {
        HappyEyeballsConnector {
            inner: Rc::new(inner),
            resolver: Resolver::system(),
            delay: DEFAULT_DELAY,
        }
    }

    /// Sets who looks names up. Default: the system.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sets after how long without an answer the next address is tried, 10 ms at least. Default: 250 ms.
    #[must_use]
    pub fn attempt_delay(mut self, delay: Duration) -> Self {
        self.delay = delay.max(LEAST_DELAY);
        self
    }

    async fn dial(self, target: ConnectTarget) -> Result<Connection, Error> {
        match addresses(&self.resolver, &target).await? {
            Some(addresses) => {
                Race {
                    target,
                    inner: self.inner,
                    delay: self.delay,
                    waiting: take_turns(addresses),
                    running: Vec::new(),
                    next: None,
                    failures: Failures::default(),
                }
                .await
            }
            None => self.inner.connect_target(target).await,
        }
    }
}

/// Has the families take turns, beginning with that of the first address (RFC 8305, 4).
fn take_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = VecDeque::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// The attempts at the addresses of one target.
#[pin_project]
struct Race {
    target: ConnectTarget,
    inner: Rc<dyn ConnectorInterface>,
    delay: Duration,
    waiting: VecDeque<SocketAddr>,
    running: Vec<(SocketAddr, Connecting)>,
    /// When it is over, the next attempt starts.
    #[pin]
    next: Option<Sleep>,
    failures: Failures,
}

impl Future for Race {
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
