//! A server of any kind, chosen at run time.

use crate::connection::Connection;
use crate::decorated::{Decorated, Layer};
use crate::server::{Server, ServerInterface};

crate::decorated_server! {
    @declare
    /// A server of any kind: one type for a server that is chosen at run time.
    ///
    /// Each server of this project converts into it. It is a server around that one, with the same events, and costs one more emission for each connection.
    /// A `Copy` handle, as [`Server`]; it is stale once the server in it has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | that of the server in it |
    /// | `error` | [`Error`](crate::Error) | that of the server in it |
    /// | `close` | `()` | the server in it has stopped listening for good: the last event |
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::prelude::*;
    ///
    /// # let most_clients = Some(100);
    /// let server = Server::bind("127.0.0.1:0")?;
    /// let server: AnyServer = match most_clients {
    ///     Some(count) => LimitingServer::new(server, count, false).into(),
    ///     None => server.into(),
    /// };
    /// server.on("connection", |conn: Connection| conn.end_with("Hello!\n"));
    /// # server.close();
    /// # Ok::<(), uptick_socket::Error>(())
    /// ```
    pub struct AnyServer(Passing) {}
}

/// Passes connections on.
struct Passing;

impl Layer for Passing {
    fn accept(server: Decorated<Self>, conn: Connection) {
        server.announce(conn);
    }
}

impl AnyServer {
    /// Converts a server of any type, such as one of your own; the others implement `Into<AnyServer>`.
    pub fn new<S: ServerInterface>(server: S) -> Self {
        AnyServer(Decorated::new(server, Passing))
    }
}

impl From<Server> for AnyServer {
    fn from(server: Server) -> Self {
        AnyServer::new(server)
    }
}

impl<L: Layer> From<Decorated<L>> for AnyServer {
    fn from(server: Decorated<L>) -> Self {
        AnyServer::new(server)
    }
}
