//! A timeout for connectors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;

use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::connection::Connection;
use crate::error::Error;

/// Limits the time of an inner connector.
///
/// The timeout covers everything inside: name lookups, attempts, handshakes. It is relative to the first poll of the
/// future. The error is [`Error::Timeout`]: `connecting to tcp://192.0.2.1:80 timed out after 3s (ETIMEDOUT)`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_socket::prelude::*;
/// use uptick_socket::{TcpConnector, TimeoutConnector};
///
/// let server = Server::bind("127.0.0.1:0")?;
/// # server.on(Server::CONNECTION, |_| ());
/// let connector = TimeoutConnector::new(TcpConnector::new(), Duration::from_secs(3));
/// let conn = uptick_event_loop::block_on(connector.connect(server.address().unwrap()))??;
/// # assert!(conn.is_open());
/// # server.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TimeoutConnector<C> {
    inner: C,
    limit: Duration,
}

impl<C: ConnectorInterface> TimeoutConnector<C> {
    /// Creates a connector that limits the time of `inner` to `limit`.
    pub fn new(inner: C, limit: Duration) -> Self {
        TimeoutConnector { inner, limit }
    }
}

impl<C: ConnectorInterface> ConnectorInterface for TimeoutConnector<C> {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        Connecting::new(TimeoutFuture {
            inner: self.inner.connect_target(target.clone()),
            timer: None,
            limit: self.limit,
            target,
        })
    }
}

impl<C> fmt::Debug for TimeoutConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutConnector")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

#[pin_project]
struct TimeoutFuture {
    #[pin]
    inner: Connecting,
    /// Created by the first poll that has to wait.
    #[pin]
    timer: Option<Sleep>,
    limit: Duration,
    target: ConnectTarget,
}

impl Future for TimeoutFuture {
    type Output = Result<Connection, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(result) = this.inner.poll(context) {
            this.timer.set(None);
            return Poll::Ready(result);
        }
        if this.timer.is_none() {
            this.timer.set(Some(timeout(*this.limit)));
        }
        let timer = this.timer.as_mut().as_pin_mut();
        timer
            .map_or(Poll::Pending, |timer| timer.poll(context))
            .map(|()| {
                Err(Error::Timeout {
                    operation: format!("connecting to {}", this.target).into(),
                    after: *this.limit,
                })
            })
    }
}
