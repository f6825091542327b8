//! Early hints: headers that a client can use before the response.

use super::request::Request;
use crate::HeaderMap;
use crate::h1::Version;

impl Request {
    /// Sends headers ahead of the response, as status 103 (RFC 8297): `Link` headers, as a rule, for what the client will need. Returns whether
    /// they were sent; they are not to a client of HTTP/1.0, or one that has ended its side, nor when the response has begun.
    ///
    /// The response has to have the headers, too. Some clients of HTTP/1.1 take an interim response for the response: send them to those
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
