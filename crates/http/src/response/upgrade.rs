//! Responses after which the connection speaks another protocol.

use std::fmt;

use uptick_socket::Connection;

use super::{Body, Response};
use crate::StatusCode;
use crate::channel::Channel;

/// The callback for the channel of another protocol.
pub struct Upgrade(Callback);

enum Callback {
    Connection(Box<dyn FnOnce(Connection)>),
    Channel(Box<dyn FnOnce(Channel)>),
}

impl Upgrade {
    /// Returns whether the callback needs a [`Connection`].
    pub(crate) fn needs_connection(&self) -> bool {
        matches!(self.0, Callback::Connection(_))
    }

    /// Calls the callback; a channel that is not the connection it needs is closed.
    pub(crate) fn run(self, channel: Channel) {
        match (self.0, channel.connection()) {
            (Callback::Channel(f), _) => f(channel),
            (Callback::Connection(f), Some(conn)) => f(conn),
            (Callback::Connection(_), None) => channel.close(),
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgrade").finish()
    }
}

impl Response {
    /// 101: the connection goes on with another protocol (RFC 9110, 7.8), and `f` is called with it. Bytes that the client
    /// has sent behind the request are the first that its listeners get.
    ///
    /// The server sends this response only to a request whose `Upgrade` lists `protocol`, which may be a name, a name with a
    /// version, such as `echo/2`, or a comma-separated list of layers. Names are compared without case, versions exactly. Other
    /// requests are answered with 426 and an `Upgrade` header that names the protocol; those of HTTP/1.0, and those whose
    /// body the client is still sending, with 400.
    ///
    /// # Examples
    /// ```
    /// use uptick_emitter::Emitter;
    /// use uptick_http::{HttpServer, Request, Response};
    /// use uptick_socket::Connection;
    ///
    /// let http = HttpServer::new();
    /// http.get("/echo", |_: Request| {
    ///     Response::upgrade("echo", |conn: Connection| {
    ///         conn.on(Connection::DATA, move |chunk| conn.write(chunk));
    ///     })
    /// });
    /// ```
    pub fn upgrade(protocol: &str, f: impl FnOnce(Connection) + 'static) -> Self {
        Response::switching_to(protocol, Callback::Connection(Box::new(f)))
    }

    /// 101, as [`upgrade`](Response::upgrade), for a protocol that any [channel](crate::channel) can carry.
    pub fn upgrade_channel(protocol: &str, f: impl FnOnce(Channel) + 'static) -> Self {
        Response::switching_to(protocol, Callback::Channel(Box::new(f)))
    }

    fn switching_to(protocol: &str, callback: Callback) -> Self {
        let body = Body::Upgrade(Upgrade(callback));
        Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_body(body)
            .header(http::header::UPGRADE, protocol)
    }
}
