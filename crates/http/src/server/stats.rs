//! Statistics of a server.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};
use uptick_event_loop::Histogram;

use super::HttpServer;

/// Statistics of a server. The JSON form is an object with the names of the fields.
///
/// Except for the numbers of open connections and upgrades, the values never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Open connections, including upgraded ones.
    pub open_connections: usize,
    /// Open upgraded connections and streams of HTTP/2, such as WebSockets.
    pub open_upgrades: usize,
    /// Accepted connections.
    pub connections: u64,
    /// Upgraded connections and streams.
    pub upgrades: u64,
    /// Requests passed to handlers, or answered with the page for a missing route.
    pub requests: u64,
    /// Started responses with status 2xx.
    pub responses_2xx: u64,
    /// Started responses with status 3xx.
    pub responses_3xx: u64,
    /// Started responses with status 4xx, including those to invalid requests.
    pub responses_4xx: u64,
    /// Started responses with status 5xx.
    pub responses_5xx: u64,
    /// Connections that were served with HTTP/2, out of all accepted connections.
    pub http2_connections: u64,
    /// Requests of HTTP/2, out of all requests.
    pub http2_requests: u64,
}

impl HttpServer {
    /// Returns the statistics of this server. Servers on several loops count separately.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request, Response};
    ///
    /// let http = HttpServer::new();
    /// http.get("/stats", move |_: Request| Response::json(http.stats()));
    /// http.test().get("/missing").send()?;
    /// assert_eq!((http.stats().requests, http.stats().responses_4xx), (1, 1));
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn stats(self) -> Stats {
        self.service().map_or_else(Stats::default, |service| Stats {
            open_connections: service.open_connections(),
            open_upgrades: service.open_upgrades(),
            connections: service.connections(),
            upgrades: service.upgrades(),
            requests: service.requests(),
            responses_2xx: service.responses(2),
            responses_3xx: service.responses(3),
            responses_4xx: service.responses(4),
            responses_5xx: service.responses(5),
            http2_connections: service.http2_connections(),
            http2_requests: service.http2_requests(),
        })
    }

    /// Sets whether the time from a request to the start of its response is measured ([`handler_time`](HttpServer::handler_time)), which
    /// costs two clock calls for each request. Default: false.
    pub fn measure_handlers(self, measure: bool) -> Self {
        self.configure(|site| site.hooks.measures = measure);
        self
    }

    /// Returns the times that middleware and handlers took until their responses started, for requests received while
    /// [`measure_handlers`](HttpServer::measure_handlers) was set.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().measure_handlers(true);
    /// http.get("/", |_: Request| "hello");
    /// http.test().get("/").send()?;
    /// assert_eq!(http.handler_time().count(), 1);
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn handler_time(self) -> Histogram {
        self.service()
            .map_or_else(Histogram::new, |service| service.handler_time())
    }
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Stats", 11)?;
        fields.serialize_field("open_connections", &self.open_connections)?;
        fields.serialize_field("open_upgrades", &self.open_upgrades)?;
        fields.serialize_field("connections", &self.connections)?;
        fields.serialize_field("upgrades", &self.upgrades)?;
        fields.serialize_field("requests", &self.requests)?;
        fields.serialize_field("responses_2xx", &self.responses_2xx)?;
        fields.serialize_field("responses_3xx", &self.responses_3xx)?;
        fields.serialize_field("responses_4xx", &self.responses_4xx)?;
        fields.serialize_field("responses_5xx", &self.responses_5xx)?;
        fields.serialize_field("http2_connections", &self.http2_connections)?;
        fields.serialize_field("http2_requests", &self.http2_requests)?;
        fields.end()
    }
}
