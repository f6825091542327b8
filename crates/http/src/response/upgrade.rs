//! Responses that upgrade the connection to another protocol.

use uptick_socket::Connection;

use super::{Body, Response};
use crate::StatusCode;
use crate::channel::{Channel, Upgrade};

impl Response {
    /// Creates a 101 response, after which the connection is upgraded to another protocol (RFC 9110, section 7.8), and `f` is called with it.
    /// Bytes received after the request are delivered first.
    ///
    /// The server sends this response only to a request whose `Upgrade` lists `protocol`: a name, a name with a version, such as
    /// `echo/2`, or a comma-separated list of layers. Names are compared case-insensitively, versions exactly. Other requests are
    /// answered with 426 and an `Upgrade` header that names the protocol; HTTP/1.0 requests, and requests whose body is still being
    /// received, with 400. A stream of an HTTP/2 connection is not a connection, so a request for it (RFC 8441) is answered with 501; see
    /// [`upgrade_channel`](Response::upgrade_channel).
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
        Response::switching_to(protocol, Upgrade::of_connection(f))
    }

    /// Creates a 101 response like [`upgrade`](Response::upgrade), for a protocol that can use any [channel](crate::channel).
    pub fn upgrade_channel(protocol: &str, f: impl FnOnce(Channel) + 'static) -> Self {
        Response::switching_to(protocol, Upgrade::of_channel(f))
    }

    fn switching_to(protocol: &str, upgrade: Upgrade) -> Self {
        let body = Body::Upgrade(upgrade);
        Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_body(body)
            .header(http::header::UPGRADE, protocol)
    }
}
