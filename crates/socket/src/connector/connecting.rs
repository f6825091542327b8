//! The future that connectors return.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::error::Error;

/// A future of an outgoing connection, returned by [`connect`](crate::ConnectorInterface::connect).
///
/// # Cancel safety
/// Dropping the future closes its sockets and cancels its timers.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Connecting(Pin<Box<dyn Future<Output = Result<Connection, Error>>>>);

impl Connecting {
    /// Creates the future from any future of a connection: for implementors of connectors.
    ///
    /// The future must release its sockets and timers when it is dropped.
    pub fn new(future: impl Future<Output = Result<Connection, Error>> + 'static) -> Self {
        Connecting(Box::pin(future))
    }

    /// Creates a future that fails when it is awaited.
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::{ConnectTarget, Connecting, ConnectorInterface, Error};
    ///
    /// /// A connector that never connects.
    /// struct Offline;
    ///
    /// impl ConnectorInterface for Offline {
    ///     fn connect_target(&self, target: ConnectTarget) -> Connecting {
    ///         Connecting::failed(Error::Closed { object: format!("the route to {target}").into() })
    ///     }
    /// }
    /// let result = uptick_event_loop::block_on(Offline.connect(80))?;
    /// assert_eq!(result.unwrap_err().to_string(), "the route to tcp://127.0.0.1:80 is closed (ENOTCONN)");
    /// # Ok::<(), uptick_event_loop::Error>(())
    /// ```
    pub fn failed(error: Error) -> Self {
        Connecting::new(ready(Err(error)))
    }
}

impl Future for Connecting {
    type Output = Result<Connection, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}
