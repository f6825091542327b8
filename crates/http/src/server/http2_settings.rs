//! HTTP/2: its limits, and the protocols that are offered to the clients of TLS listeners.

use super::{HttpServer, with_entry};
use crate::h2;

/// Settings of HTTP/2. A change applies to subsequent connections.
impl HttpServer {
    /// Sets whether HTTP/2 is served, in addition to HTTP/1: to TLS clients that choose `h2` by ALPN, and to other clients whose first
    /// bytes are the connection preface of HTTP/2 (prior knowledge). Default: true.
    ///
    /// A TLS listener whose context sets its own protocols ([`ServerInterface::offer_protocols`]) offers those. HTTP/2 is not served if it is
    /// switched off here, whatever a listener offers, and not to clients that have negotiated another protocol.
    ///
    /// [`ServerInterface::offer_protocols`]: uptick_socket::ServerInterface::offer_protocols
    ///
    /// # Examples
    /// ```
    /// use uptick_http::HttpServer;
    /// use uptick_http::h2::Limits;
    ///
    /// let without = HttpServer::new().http2(false);
    /// let limited = HttpServer::new().http2_limits(Limits::default().concurrent_streams(32));
    /// # let _ = (without, limited);
    /// ```
    pub fn http2(self, enabled: bool) -> Self {
        self.set(|settings| settings.http2 = enabled);
        let servers = with_entry(self, |entry| entry.servers.clone());
        for server in servers.into_iter().flatten() {
            server.offer_protocols(self.protocols());
        }
        self
    }

    /// Sets the limits of HTTP/2 connections. Those of headers ([`headers`](h2::Limits::headers)) and extended CONNECT
    /// ([`connect_protocol`](h2::Limits::connect_protocol)) have no effect here: the limits of headers are set for all versions by
    /// [`limits`](HttpServer::limits), and extended CONNECT is accepted. Default: [`h2::Limits::default`].
    pub fn http2_limits(self, limits: h2::Limits) -> Self {
        self.set(|settings| settings.http2_limits = limits)
    }

    /// Returns the names of the protocols for ALPN, the preferred one first.
    pub(super) fn protocols(self) -> &'static [&'static str] {
        let is_enabled =
            |service: std::rc::Rc<crate::site::Service>| service.borrow_site().settings.http2;
        match self.service().is_some_and(is_enabled) {
            true => &["h2", "http/1.1"],
            false => &["http/1.1"],
        }
    }
}
