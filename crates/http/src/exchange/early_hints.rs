//! Early hints: headers that a client can use before the response.

use super::request::Request;
use crate::HeaderMap;
use crate::h1::Version;

impl Request {
    /// Sends `103 Early Hints` (RFC 8297) before the response: as a rule, `Link` headers for resources that the client will need. Returns whether
    /// they were sent. They are not sent to a client of HTTP/1.0, to one that has ended its side of the connection, and after the response has
    /// begun. Headers of the connection and of framing are left out.
    ///
    /// The response has to have the headers, too. Some clients of HTTP/1.1 take an interim response for the final one: send hints only to clients
    /// that are known to accept them, such as browsers (`Sec-Fetch-Mode: navigate`).
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
    ///     // … the page is made …
    ///     Response::html("<link rel=stylesheet href=/style.css>").header("link", &hints["link"])
    /// });
    /// ```
    pub fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        let exchange = &self.exchange;
        if exchange.is_started() || exchange.head.version() == Version::Http10 {
            return false;
        }
        let transport = exchange.live();
        transport.is_some_and(|transport| transport.send_early_hints(headers))
    }
}
