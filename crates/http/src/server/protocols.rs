//! The protocols that a server offers to the clients of its TLS listeners.

use super::{HttpServer, with_entry};

/// `true` if connections can be served with HTTP/2.
const SERVES_HTTP_2: bool = false;

impl HttpServer {
    /// Returns the names of the protocols for ALPN, the preferred one first.
    pub(super) fn protocols(self) -> &'static [&'static str] {
        let settings = self.service().map(|service| service.site().settings);
        match SERVES_HTTP_2 && settings.is_some_and(|settings| settings.http2) {
            true => &["h2", "http/1.1"],
            false => &["http/1.1"],
        }
    }

    /// Sets whether HTTP/2 is served, in addition to HTTP/1: to TLS clients that choose `h2` by ALPN, and to other clients whose first
    /// bytes are the connection preface of HTTP/2 (prior knowledge). Open connections are not affected. Default: true.
    pub fn http2(self, enabled: bool) -> Self {
        self.configure(|site| site.settings.http2 = enabled);
        let servers = with_entry(self, |entry| entry.servers.clone());
        for server in servers.into_iter().flatten() {
            server.offer_protocols(self.protocols());
        }
        self
    }
}
