//! What every server is, so that servers can wrap servers.

use std::time::Duration;

use uptick_emitter::{Emits, Emitter, Event, EventSet};

use super::{Server, Shutdown, shutdown_on};
use crate::connection::Connection;
use crate::error::Error;
use crate::remote::Remote;

/// A server: emits connections and can be paused, closed and shut down.
///
/// Wrappers take any server and are one: `LimitingServer(SecureServer(ProxyProtocolServer(Server)))`. Code that serves
/// a protocol takes `impl ServerInterface`. The methods are those of [`Server`]. A program that chooses the server at run time
/// converts it into an [`AnyServer`](crate::AnyServer).
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
///
/// fn serve_time<S: ServerInterface>(server: S) {
///     server.on(S::CONNECTION, |conn| conn.end_with("12:00\n"));
///     server.on("error", |e: Error| eprintln!("{e}"));
/// }
/// # let server = Server::bind(0)?;
/// # serve_time(server);
/// # server.close();
/// # Ok::<(), uptick_socket::Error>(())
/// ```
pub trait ServerInterface:
    Emitter<Events = Self> + EventSet + Emits<Connection> + Emits<Error> + Emits<()> + Copy
{
    /// A client has connected.
    const CONNECTION: Event<Self, Connection>;
    /// Something failed; the server goes on.
    const ERROR: Event<Self, Error>;
    /// The server has stopped listening for good.
    const CLOSE: Event<Self, ()>;

    /// What the server listens on, as a URI; `None` once it has stopped listening.
    fn address(self) -> Option<String>;

    /// Stops accepting; clients wait.
    fn pause(self);

    /// Accepts again.
    fn resume(self);

    /// Stops listening for good; open connections stay.
    fn close(self);

    /// Stops listening, gives the open connections until the deadline, then closes those left.
    fn shutdown(self, deadline: Duration) -> Shutdown;

    /// Returns the number of open connections that the server has emitted, or that wait for a `connection` listener.
    fn open_connections(self) -> usize;

    /// Returns these connections, in no particular order.
    fn connections(self) -> Vec<Connection>;

    /// Returns a reference to the server for other threads.
    fn remote(self) -> Remote<Self> {
        Remote::new(self)
    }

    /// Shuts the server down when one of the signals is received, and at once at the second; see
    /// [`Server::shutdown_on`](super::Server::shutdown_on).
    ///
    /// # Errors
    /// [`Error::Signal`](uptick_event_loop::Error::Signal) if a signal cannot be listened to; no listener is left then.
    fn shutdown_on(
        self,
        signals: impl IntoIterator<Item = i32>,
        deadline: Duration,
    ) -> Result<Self, uptick_event_loop::Error> {
        shutdown_on(self, Self::CLOSE, signals, deadline, move |deadline| {
            drop(self.shutdown(deadline));
        })
    }
}

/// Implements [`ServerInterface`] for a server that has its methods and events itself.
///
/// The type's own methods carry the documentation and need no import; the trait's only call them.
#[doc(hidden)]
#[macro_export]
macro_rules! server_interface {
    ($Server:ident) => {
        impl $crate::ServerInterface for $Server {
            const CONNECTION: uptick_emitter::Event<Self, $crate::Connection> = $Server::CONNECTION;
            const ERROR: uptick_emitter::Event<Self, $crate::Error> = $Server::ERROR;
            const CLOSE: uptick_emitter::Event<Self, ()> = $Server::CLOSE;

            fn address(self) -> Option<String> {
                $Server::address(self)
            }

            fn pause(self) {
                $Server::pause(self);
            }

            fn resume(self) {
                $Server::resume(self);
            }

            fn close(self) {
                $Server::close(self);
            }

            fn shutdown(self, deadline: std::time::Duration) -> $crate::Shutdown {
                $Server::shutdown(self, deadline)
            }

            fn open_connections(self) -> usize {
                $Server::open_connections(self)
            }

            fn connections(self) -> Vec<$crate::Connection> {
                $Server::connections(self)
            }
        }
    };
}

server_interface!(Server);
