//! The declaration of a named server around a [`Decorated`](super::Decorated).

/// Declares a server type around a [`Decorated`](crate::decorated::Decorated): the handle, its events, the methods of
/// [`ServerInterface`](crate::ServerInterface), and a `Debug` implementation with the results of the methods in braces.
///
/// The calling crate must depend on `uptick-emitter` and `uptick-event-loop`.
///
/// # Examples
/// ```
/// use uptick_socket::decorated::{Decorated, Layer};
/// use uptick_socket::prelude::*;
///
/// pub struct Counting(u64);
///
/// impl Layer for Counting {
///     fn accept(server: Decorated<Self>, conn: Connection) {
///         server.with(|layer| layer.0 += 1);
///         server.announce(conn);
///     }
/// }
///
/// uptick_socket::decorated_server! {
///     /// A server that counts connections.
///     pub struct CountingServer(Counting) { count }
/// }
///
/// impl CountingServer {
///     /// Wraps a server.
///     pub fn new<S: ServerInterface>(server: S) -> Self {
///         CountingServer(Decorated::new(server, Counting(0)))
///     }
///
///     /// Returns the number of connections so far.
///     pub fn count(self) -> u64 {
///         self.0.with(|layer| layer.0).unwrap_or(0)
///     }
/// }
///
/// let server = CountingServer::new(Server::bind(0)?);
/// server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
/// # server.close();
/// assert_eq!(format!("{server:?}"), "CountingServer { address: None, count: 0 }");
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! decorated_server {
    ($(#[$meta:meta])* $visibility:vis struct $Server:ident($Layer:ty) { $($field:ident),* }) => {
        $crate::decorated_server! {
            @declare $(#[$meta])* $visibility struct $Server($Layer) { $($field),* }
        }

        impl From<$Server> for $crate::AnyServer {
            fn from(server: $Server) -> Self {
                $crate::AnyServer::new(server)
            }
        }
    };
    (@declare $(#[$meta:meta])* $visibility:vis struct $Server:ident($Layer:ty) { $($field:ident),* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        $visibility struct $Server($crate::decorated::Decorated<$Layer>);

        // The events have the same order as those of `Decorated`, which emits them by their slots.
        uptick_emitter::events! {
            impl $Server {
                $crate::Connection => {
                    /// A connection is ready.
                    CONNECTION = "connection";
                }
                $crate::Error => {
                    /// A connection failed or was refused, or an error of the wrapped server.
                    ERROR = "error", warn;
                }
                () => {
                    /// The wrapped server has stopped listening permanently.
                    CLOSE = "close";
                }
            }
        }

        impl uptick_emitter::Emitter for $Server {
            type Events = Self;

            fn with_listeners<R>(
                &self,
                f: impl FnOnce(&mut uptick_emitter::Listeners) -> R,
            ) -> Option<R> {
                uptick_emitter::Emitter::with_listeners(&self.0, f)
            }

            fn listener_added(&self, slot: u8) {
                uptick_emitter::Emitter::listener_added(&self.0, slot);
            }
        }

        impl $Server {
            /// Returns the address that the server listens on, as a URI; `None` once it has stopped listening.
            pub fn address(self) -> Option<String> {
                $crate::ServerInterface::address(self.0)
            }

            /// Stops accepting; clients stay in the backlog. Connections that the wrapped server has already accepted
            /// are still emitted. Does nothing if the server is paused.
            pub fn pause(self) {
                $crate::ServerInterface::pause(self.0);
            }

            /// Resumes accepting. Does nothing if the server is not paused.
            pub fn resume(self) {
                $crate::ServerInterface::resume(self.0);
            }

            /// Closes the wrapped server, and connections that are not announced yet; others stay open. Does nothing if
            /// the server is closed.
            pub fn close(self) {
                $crate::ServerInterface::close(self.0);
            }

            /// Shuts the wrapped server down; see [`Server::shutdown`]($crate::Server::shutdown).
            ///
            /// `connection` is still emitted for connections that were already accepted.
            pub fn shutdown(self, deadline: std::time::Duration) -> $crate::Shutdown {
                $crate::ServerInterface::shutdown(self.0, deadline)
            }

            /// Returns the number of open connections that the server has emitted or holds until there is a
            /// `connection` listener.
            pub fn open_connections(self) -> usize {
                $crate::ServerInterface::open_connections(self.0)
            }

            /// Returns these connections, in no particular order.
            ///
            /// The call iterates over all connections of the thread, unless the server keeps a list.
            pub fn connections(self) -> Vec<$crate::Connection> {
                $crate::ServerInterface::connections(self.0)
            }

            /// Returns a handle to the server for other threads.
            pub fn remote(self) -> $crate::Remote<Self> {
                $crate::Remote::new(self)
            }

            /// Shuts the server down when one of the signals is received, and closes its connections at once at the
            /// second signal; see [`Server::shutdown_on`]($crate::Server::shutdown_on).
            ///
            /// # Errors
            /// [`Error::Signal`](uptick_event_loop::Error::Signal) if a signal cannot be handled. No listener remains
            /// registered in that case.
            pub fn shutdown_on(
                self,
                signals: impl IntoIterator<Item = i32>,
                deadline: std::time::Duration,
            ) -> Result<Self, uptick_event_loop::Error> {
                $crate::ServerInterface::shutdown_on(self, signals, deadline)
            }
        }

        $crate::server_interface! {
            $Server
            fn offer_protocols(self, protocols: &[&str]) {
                $crate::ServerInterface::offer_protocols(self.0, protocols);
            }
        }

        impl std::fmt::Debug for $Server {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($Server))
                    .field("address", &self.address())
                    $(.field(stringify!($field), &self.$field()))*
                    .finish()
            }
        }
    };
}
