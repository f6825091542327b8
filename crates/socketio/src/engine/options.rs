//! Options of an Engine.IO server.

use std::time::Duration;

use uptick_http::{Cors, IntoMiddleware, Middleware};
use uptick_websocket::{Compression, Origins, SlowPolicy};

use crate::protocol::session::{SessionOptions, Transport};

/// Options of an [`EngineIo`](super::EngineIo) server.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_socketio::engine::{EngineIo, EngineOptions};
///
/// let options = EngineOptions::new()
///     .ping_interval(Duration::from_secs(10))
///     .max_payload(64 * 1024);
/// let engine = EngineIo::with_options(options);
/// # let _ = engine;
/// ```
#[derive(Clone)]
pub struct EngineOptions {
    pub(super) session: SessionOptions,
    pub(super) polling: bool,
    pub(super) websocket: bool,
    pub(super) layers: Vec<Middleware>,
    pub(super) origins: Origins,
    pub(super) max_clients: usize,
    pub(super) slow_policy: SlowPolicy,
    pub(super) compression: Compression,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            session: SessionOptions::new(),
            polling: true,
            websocket: true,
            layers: Vec::new(),
            origins: Origins::Any,
            max_clients: 100_000,
            slow_policy: SlowPolicy::Close,
            compression: Compression::Off,
        }
    }
}

impl EngineOptions {
    /// Creates options with the default values.
    pub fn new() -> EngineOptions {
        EngineOptions::default()
    }

    fn session(mut self, set: impl FnOnce(SessionOptions) -> SessionOptions) -> EngineOptions {
        self.session = set(self.session);
        self
    }

    /// Sets the time between the handshake, or the client's last pong, and the next ping. It must be shorter than
    /// [`HttpServer::response_timeout`](uptick_http::HttpServer::response_timeout), because the next ping is the latest response to a poll.
    /// Default: 25 s.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> EngineOptions {
        self.session(|session| session.ping_interval(interval))
    }

    /// Sets the time within which the client must answer a ping. The first other packet that is received in the meantime extends it once.
    /// Default: 20 s.
    #[must_use]
    pub fn ping_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.ping_timeout(timeout))
    }

    /// Sets the time within which an upgrade to WebSocket must complete. Default: 10 s.
    #[must_use]
    pub fn upgrade_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.upgrade_timeout(timeout))
    }

    /// Sets the maximum time for which a closing session waits for its client to receive queued packets. Default: 30 s.
    #[must_use]
    pub fn close_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.close_timeout(timeout))
    }

    /// Sets the maximum size of the body of a POST request and of a WebSocket message, in bytes. A larger body is answered with status 413, and a
    /// larger message closes the WebSocket with code 1009; both end the session. The handshake announces the limit. Default: 1,000,000.
    #[must_use]
    pub fn max_payload(self, bytes: usize) -> EngineOptions {
        self.session(|session| session.max_payload(bytes))
    }

    /// Sets the maximum number of frames that are queued for a client. A packet is accepted while fewer frames are queued. Default: 65,536.
    #[must_use]
    pub fn queue_packets(self, packets: usize) -> EngineOptions {
        self.session(|session| session.queue_packets(packets))
    }

    /// Sets the maximum number of bytes that are queued for a client. A packet is accepted while fewer bytes are queued. Default: 16 MiB.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> EngineOptions {
        self.session(|session| session.queue_bytes(bytes))
    }

    /// Sets the policy for packets to a client whose queue is full. With [`SlowPolicy::Close`], the session is closed with the
    /// reason `transport error`, because a client that misses a packet cannot continue correctly. With the other policies, the packet is dropped
    /// and counted, and [`Sent::Dropped`](uptick_websocket::Sent::Dropped) is returned; [`SlowPolicy::Error`] also logs it.
    /// Default: [`SlowPolicy::Close`].
    #[must_use]
    pub fn slow_policy(mut self, policy: SlowPolicy) -> EngineOptions {
        self.slow_policy = policy;
        self
    }

    /// Sets the transports that clients may use. Requests for others are answered with the error 0, "Transport unknown". Default: both.
    #[must_use]
    pub fn transports(mut self, transports: &[Transport]) -> EngineOptions {
        self.polling = transports.contains(&Transport::Polling);
        self.websocket = transports.contains(&Transport::WebSocket);
        self
    }

    /// Sets whether a polling session may be upgraded to WebSocket. Default: `true`.
    #[must_use]
    pub fn allow_upgrades(self, allow: bool) -> EngineOptions {
        self.session(|session| session.upgrades(allow))
    }

    /// Adds middleware for the requests to this server, as [`EngineIo::wrap`](super::EngineIo::wrap) does. Default: none.
    #[must_use]
    pub fn wrap<M>(mut self, middleware: impl IntoMiddleware<M>) -> EngineOptions {
        self.layers.push(middleware.into_middleware());
        self
    }

    /// Sets which pages from other origins may read responses: adds [`Cors`] as the outermost middleware of this server. Default: none.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> EngineOptions {
        self.layers.insert(0, cors.into_middleware());
        self
    }

    /// Sets the origins of pages that may open WebSockets. Requests from other origins are answered with status 403.
    ///
    /// The default differs from the default of plain WebSockets and matches the official server: sessions are identified by secret ids and
    /// not by cookies, so a page from another origin cannot act on behalf of its visitor, unless the application itself uses cookies. In that case, set
    /// [`Origins::OwnHost`] or a list. Default: [`Origins::Any`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> EngineOptions {
        self.origins = origins;
        self
    }

    /// Sets the maximum number of sessions. A handshake beyond it is answered with status 503. Default: 100,000.
    #[must_use]
    pub fn max_clients(mut self, clients: usize) -> EngineOptions {
        self.max_clients = clients;
        self
    }

    /// Sets whether WebSocket messages are compressed if the client supports it (permessage-deflate). It costs memory and CPU time for each
    /// client. To compress responses to polls, [`wrap`](EngineOptions::wrap) the server with `uptick_http::Compression`.
    /// Default: [`Compression::Off`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> EngineOptions {
        self.compression = compression;
        self
    }

    /// Returns `true` if a transport is enabled.
    pub(super) fn allows(&self, transport: Transport) -> bool {
        match transport {
            Transport::Polling => self.polling,
            Transport::WebSocket => self.websocket,
        }
    }

    /// Returns the options of new sessions.
    pub(super) fn session_options(&self) -> SessionOptions {
        let upgrades = self.session.upgrades && self.websocket;
        self.session.clone().upgrades(upgrades)
    }
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("session", &self.session)
            .field("polling", &self.polling)
            .field("websocket", &self.websocket)
            .field("max_clients", &self.max_clients)
            .field("slow_policy", &self.slow_policy)
            .finish_non_exhaustive()
    }
}
