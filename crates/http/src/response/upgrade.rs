//! Responses after which the connection speaks another protocol.

use std::fmt;

use uptick_socket::Connection;

use super::{Body, Response};
use crate::StatusCode;

/// What gets the connection when it speaks another protocol.
pub struct Upgrade(Box<dyn FnOnce(Connection)>);

impl Upgrade {
    pub(crate) fn run(self, conn: Connection) {
        (self.0)(conn);
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
        let body = Body::Upgrade(Upgrade(Box::new(f)));
        Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_body(body)
            .header(http::header::UPGRADE, protocol)
    }
}
