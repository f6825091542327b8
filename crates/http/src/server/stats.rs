//! What a server has done so far.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::HttpServer;

/// What a server has done so far. As JSON it is an object with the names of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub open_connections: usize,
    /// Connections that have come.
    pub connections: u64,
    /// Requests that have gone to handlers, or to the page for what has none.
    pub requests: u64,
}

impl HttpServer {
    /// Counts of what the server has done so far; it counts for itself, so several loops have several.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request, Response};
    ///
    /// let http = HttpServer::new();
    /// http.get("/stats", move |_: Request| Response::json(http.stats()));
    /// assert_eq!(http.stats().requests, 0);
    /// ```
    pub fn stats(self) -> Stats {
        self.service().map_or_else(Stats::default, |service| Stats {
            open_connections: service.open_connections(),
            connections: service.connections(),
            requests: service.requests(),
        })
    }
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Stats", 3)?;
        fields.serialize_field("open_connections", &self.open_connections)?;
        fields.serialize_field("connections", &self.connections)?;
        fields.serialize_field("requests", &self.requests)?;
        fields.end()
    }
}
