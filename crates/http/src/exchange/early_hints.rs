//! Early hints: headers that a client can use before the response is ready.

use super::request::Request;
use crate::HeaderMap;
use crate::h1::Version;

impl Request {
    /// Sends `103 Early Hints` (RFC 8297) before the response: usually `Link` headers for resources that the client will need. Returns
    /// `true` if they were sent. They are not sent to an HTTP/1.0 client, to a client that has half-closed the connection, or after the
    /// response has started. Connection and framing headers are left out.
    ///
    /// The response must also contain the headers. Some HTTP/1.1 clients mistake an interim response for the final one: send hints only
    /// to clients that are known to accept them, such as browsers (`Sec-Fetch-Mode: navigate`).
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HeaderMap, HeaderValue, HttpServer, Request, Response};
    ///
    /// let http = HttpServer::new();
    /// http.get("/", async |req: Request| {
    ///     let mut hints = HeaderMap::new();
    ///     hints.insert("link", HeaderValue::from_static("</style.css>; rel=preload; as=style"));
    ///     req.send_early_hints(&hints);
    ///     // … build the page …
    ///     Response::html("<link rel=stylesheet href=/style.css>").header("link", &hints["link"])
    /// });
    /// ```
    pub fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        let exchange = &self.exchange;
        if exchange.is_started() || exchange.head.version() == Version::Http10 {
            return false;
        }
        let transport = exchange.open_transport();
        transport.is_some_and(|transport| transport.send_early_hints(headers))
    }
}
