//! The common interface of servers, which allows servers to wrap servers.

use std::time::Duration;

use uptick_emitter::{Emits, Emitter, Event, EventSet};

use super::{Server, Shutdown, shutdown_on};
use crate::connection::Connection;
use crate::error::Error;
use crate::remote::Remote;

/// A server: emits connections and can be paused, closed and shut down.
///
/// Wrappers take any server and implement this trait themselves:
/// `LimitingServer(SecureServer(ProxyProtocolServer(Server)))`. Code that serves a protocol takes
/// `impl ServerInterface`. The methods have the same meaning as in [`Server`]. A program that chooses the server at run
/// time converts it into an [`AnyServer`](crate::AnyServer).
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
    /// An operation failed; the server continues.
    const ERROR: Event<Self, Error>;
    /// The server has stopped listening permanently.
    const CLOSE: Event<Self, ()>;

    /// Returns the address that the server listens on, as a URI; `None` once it has stopped listening.
    fn address(self) -> Option<String>;

    /// Stops accepting; clients stay in the backlog.
    fn pause(self);

    /// Resumes accepting.
    fn resume(self);

    /// Stops listening permanently; open connections are not closed.
    fn close(self);

    /// Stops listening, waits until the deadline for the open connections to end, then closes the remaining ones.
    fn shutdown(self, deadline: Duration) -> Shutdown;

    /// Returns the number of open connections that the server has emitted or holds until there is a `connection`
    /// listener.
    fn open_connections(self) -> usize;

    /// Returns these connections, in no particular order.
    fn connections(self) -> Vec<Connection>;

    /// Sets the application protocols that the program serves on the connections, the preferred one first, such as `h2` and
    /// `http/1.1`.
    ///
    /// A TLS server offers them by ALPN (RFC 7301), unless its context sets its own protocols; the connections of other servers
    /// have no ALPN. A server that speaks the protocol calls this method. Wrappers pass the protocols to the server that they wrap.
    /// Default: does nothing.
    fn offer_protocols(self, protocols: &[&str]) {
        let _ = protocols;
    }

    /// Returns a handle to the server for other threads.
    fn remote(self) -> Remote<Self> {
        Remote::new(self)
    }

    /// Shuts the server down when one of the signals is received, and closes its connections at once at the second
    /// signal; see [`Server::shutdown_on`](super::Server::shutdown_on).
    ///
    /// # Errors
    /// [`Error::Signal`](uptick_event_loop::Error::Signal) if a signal cannot be handled. No listener remains
    /// registered in that case.
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

/// Implements [`ServerInterface`] for a server type with inherent methods and events of the same names.
///
/// The inherent methods carry the documentation and need no import; the methods of the trait only call them.
#[doc(hidden)]
#[macro_export]
macro_rules! server_interface {
    ($Server:ident $($method:item)*) => {
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

            $($method)*
        }
    };
}

server_interface!(Server);
