//! Connectors: builders of outgoing connections.
//!
//! Each connector does one thing, and most of them wrap another: a timeout around a name lookup around TCP.
//! [`Connector`] combines them in the usual way.

mod attempts;
mod connecting;
mod dns;
mod facade;
mod fixed_uri;
mod handshake;
mod happy_eyeballs;
mod resolver;
mod target;
mod tcp;
mod timeout;
mod unix;

use std::rc::Rc;

use uptick_event_loop::{JoinHandle, catch, spawn};

use crate::connection::Connection;
use crate::error::Error;
use crate::uri::IntoUri;

pub use connecting::Connecting;
pub use dns::DnsConnector;
pub use facade::Connector;
pub use fixed_uri::FixedUriConnector;
pub use happy_eyeballs::HappyEyeballsConnector;
pub use resolver::{Lookup, Resolver};
pub use target::ConnectTarget;
pub use tcp::TcpConnector;
pub use timeout::TimeoutConnector;
pub use unix::UnixConnector;

/// An interface for objects that make outgoing connections.
///
/// Connectors can be combined: most of them wrap another connector. Code that only has to connect can take any connector
/// as `Rc<dyn ConnectorInterface>`, which is a connector too. To write a connector, implement
/// [`connect_target`](ConnectorInterface::connect_target).
///
/// # Examples
/// A connector that tries two connectors in turn:
/// ```
/// use uptick_socket::{ConnectTarget, Connecting, Connector, ConnectorInterface, TcpConnector};
///
/// struct Either<C>(C, C);
///
/// impl<C: ConnectorInterface> ConnectorInterface for Either<C> {
///     fn connect_target(&self, target: ConnectTarget) -> Connecting {
///         let first = self.0.connect_target(target.clone());
///         let second = self.1.connect_target(target);
///         Connecting::new(async move {
///             match first.await {
///                 Ok(conn) => Ok(conn),
///                 Err(_) => second.await,
///             }
///         })
///     }
/// }
/// # let _ = Either(TcpConnector::new(), TcpConnector::new()).connect("127.0.0.1:80");
/// ```
pub trait ConnectorInterface {
    /// Returns a future that starts to connect when it is first polled. Dropping the future cancels the attempt.
    ///
    /// The future resolves to [`Error::InvalidUri`] for a kind of target that the connector does not support.
    fn connect_target(&self, target: ConnectTarget) -> Connecting;

    /// Connects to an address: `"tcp://127.0.0.1:80"`, `"example.com:80"`, `"unix:///run/app.sock"`, a port of
    /// 127.0.0.1; see [`ConnectTarget`].
    ///
    /// The future resolves to a [`Connection`] like an accepted one: it does not read before it has a `data` listener,
    /// so no data is lost.
    ///
    /// # Errors
    /// The future resolves to [`Error::InvalidUri`] for an address that the connector cannot connect to,
    /// [`Error::Connect`] if connecting failed, [`Error::Resolve`] if the name lookup failed, and [`Error::Timeout`] if
    /// the timeout expired.
    ///
    /// # Cancel safety
    /// Dropping the future closes its sockets and cancels its timers.
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::prelude::*;
    ///
    /// let server = Server::bind(0)?;
    /// let address = server.address().unwrap();
    /// server.on("connection", move |conn: Connection| {
    ///     conn.end_with("Hello!\n");
    ///     server.close();
    /// });
    /// let hello = uptick_event_loop::block_on(async move {
    ///     let conn = Connector::new().connect(address).await?;
    ///     Ok::<_, Error>(conn.next(Connection::DATA).await)
    /// })??;
    /// assert_eq!(hello.as_deref(), Some(&b"Hello!\n"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn connect(&self, uri: impl IntoUri<ConnectTarget>) -> Connecting
    where
        Self: Sized,
    {
        match uri.into_uri() {
            Ok(target) => self.connect_target(target),
            Err(error) => Connecting::failed(error),
        }
    }

    /// Connects without a future: starts in the loop's next iteration and calls `callback` with the result.
    ///
    /// [`cancel`](JoinHandle::cancel) cancels the attempt, and the callback is not called. Dropping the handle does not
    /// cancel it. If the callback panics, the connection emits an `error` and closes.
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::prelude::*;
    ///
    /// let server = Server::bind(0)?;
    /// server.on("connection", move |conn: Connection| {
    ///     conn.end_with("Hello!\n");
    ///     server.close();
    /// });
    /// Connector::new().connect_then(server.address().unwrap(), |result| match result {
    ///     Ok(conn) => {
    ///         conn.on("data", |chunk: Bytes| println!("{chunk:?}"));
    ///     }
    ///     Err(error) => eprintln!("{error}"),
    /// });
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn connect_then<R>(
        &self,
        uri: impl IntoUri<ConnectTarget>,
        callback: impl FnOnce(Result<Connection, Error>) -> R + 'static,
    ) -> JoinHandle<()>
    where
        Self: Sized,
    {
        let connecting = self.connect(uri);
        spawn(async move {
            let result = connecting.await;
            let conn = result.as_ref().ok().copied();
            let called = catch(|| {
                callback(result);
            });
            if let Err(message) = called {
                match conn {
                    Some(conn) => conn.panicked(&message),
                    None => tracing::error!("a callback of a connector panicked: {message}"),
                }
            }
        })
    }
}

impl<C: ConnectorInterface + ?Sized> ConnectorInterface for Rc<C> {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        (**self).connect_target(target)
    }
}

impl<C: ConnectorInterface + ?Sized> ConnectorInterface for Box<C> {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        (**self).connect_target(target)
    }
}

impl<C: ConnectorInterface + ?Sized> ConnectorInterface for &C {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        (**self).connect_target(target)
    }
}
