//! A server of any type, chosen at run time.

use crate::connection::Connection;
use crate::decorated::{Decorated, Layer};
use crate::server::{Server, ServerInterface};

crate::decorated_server! {
    @declare
    /// A server of any type: one type for a server that is chosen at run time.
    ///
    /// Every server of this project converts into `AnyServer`. It wraps the server and emits the same events, at the
    /// cost of one more emission for each connection. Like [`Server`], it is a `Copy` handle; it is stale once the wrapped
    /// server has closed.
    ///
    /// # Events
    /// | event | payload | when |
    /// |---|---|---|
    /// | `connection` | [`Connection`] | the wrapped server emits `connection` |
    /// | `error` | [`Error`](crate::Error) | the wrapped server emits `error` |
    /// | `close` | `()` | the wrapped server is closed; the last event |
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
    pub struct AnyServer(PassThrough) {}
}

/// A layer that emits every connection unchanged.
struct PassThrough;

impl Layer for PassThrough {
    fn accept(server: Decorated<Self>, conn: Connection) {
        server.announce(conn);
    }
}

impl AnyServer {
    /// Converts a server of any type, such as one of your own. The servers of this project implement `Into<AnyServer>`.
    pub fn new<S: ServerInterface>(server: S) -> Self {
        AnyServer(Decorated::new(server, PassThrough))
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
