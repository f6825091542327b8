//! Responses after which the connection speaks another protocol.

use uptick_socket::Connection;

use super::{Body, Response};
use crate::StatusCode;
use crate::channel::{Channel, Upgrade};

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
        Response::switching_to(protocol, Upgrade::of_connection(f))
    }

    /// 101, as [`upgrade`](Response::upgrade), for a protocol that any [channel](crate::channel) can carry.
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
