//! Options of an Engine.IO server.

use std::time::Duration;

use uptick_http::{Cors, IntoMiddleware, Middleware};
use uptick_websocket::{Compression, Origins, SlowPolicy};

use crate::protocol::session::{SessionOptions, Transport};

/// The options of an [`EngineIo`](super::EngineIo) server.
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
    /// Returns the defaults.
    pub fn new() -> EngineOptions {
        EngineOptions::default()
    }

    fn session(mut self, set: impl FnOnce(SessionOptions) -> SessionOptions) -> EngineOptions {
        self.session = set(self.session);
        self
    }

    /// Sets the time between the handshake, or the client's last pong, and the next ping. It has to be shorter than
    /// [`HttpServer::answer_timeout`](uptick_http::HttpServer::answer_timeout), because a poll is answered by the ping at the latest.
    /// Default: 25 s.
    #[must_use]
    pub fn ping_interval(self, interval: Duration) -> EngineOptions {
        self.session(|session| session.ping_interval(interval))
    }

    /// Sets the time in which the client has to respond to a ping. The first other packet that is received meanwhile extends it once.
    /// Default: 20 s.
    #[must_use]
    pub fn ping_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.ping_timeout(timeout))
    }

    /// Sets the time in which an upgrade to WebSocket has to be complete. Default: 10 s.
    #[must_use]
    pub fn upgrade_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.upgrade_timeout(timeout))
    }

    /// Sets the time for which a session that is being closed waits for its client to take what is queued. Default: 30 s.
    #[must_use]
    pub fn close_timeout(self, timeout: Duration) -> EngineOptions {
        self.session(|session| session.close_timeout(timeout))
    }

    /// Sets the maximum size of the body of a POST request and of a WebSocket message in bytes. A larger body is answered with 413, a
    /// WebSocket with a larger message is closed with 1009; both end the session. The handshake announces the limit. Default: 1,000,000.
    #[must_use]
    pub fn max_payload(self, bytes: usize) -> EngineOptions {
        self.session(|session| session.max_payload(bytes))
    }

    /// Sets the number of frames that may wait for a client. A packet is taken if fewer wait. Default: 65,536.
    #[must_use]
    pub fn queue_packets(self, packets: usize) -> EngineOptions {
        self.session(|session| session.queue_packets(packets))
    }

    /// Sets the number of bytes that may wait for a client. A packet is taken if fewer wait. Default: 16 MiB.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> EngineOptions {
        self.session(|session| session.queue_bytes(bytes))
    }

    /// Sets what happens when a packet is sent to a client whose queue is full. With [`SlowPolicy::Close`] the session is closed with the
    /// reason `transport error`, because a client that misses a packet cannot go on correctly. With the others the packet is dropped,
    /// counted, and [`Sent::Dropped`](uptick_websocket::Sent::Dropped) is returned; with [`SlowPolicy::Error`] that is also logged.
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

    /// Adds middleware around the requests of this server, as [`EngineIo::wrap`](super::EngineIo::wrap). Default: none.
    #[must_use]
    pub fn wrap<M>(mut self, middleware: impl IntoMiddleware<M>) -> EngineOptions {
        self.layers.push(middleware.into_middleware());
        self
    }

    /// Sets which pages of other origins may read responses: [`Cors`], as the outermost middleware of this server. Default: none may.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> EngineOptions {
        self.layers.insert(0, cors.into_middleware());
        self
    }

    /// Sets the pages from which browsers may open WebSockets; others are answered with 403.
    ///
    /// The default differs from that of plain WebSockets, because it is that of the official server: sessions are named by secret ids and
    /// not by cookies, so that a foreign page cannot act for its visitor, unless the application itself uses cookies. In that case set
    /// [`Origins::OwnHost`] or a list. Default: [`Origins::Any`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> EngineOptions {
        self.origins = origins;
        self
    }

    /// Sets the maximum number of sessions. A handshake beyond it is answered with 503. Default: 100,000.
    #[must_use]
    pub fn max_clients(mut self, clients: usize) -> EngineOptions {
        self.max_clients = clients;
        self
    }

    /// Sets whether messages of WebSockets are compressed where the client agrees (permessage-deflate). It costs memory and time for each
    /// client. Responses to polls are compressed by [`wrap`](EngineOptions::wrap) with `uptick_http::Compression`.
    /// Default: [`Compression::Off`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> EngineOptions {
        self.compression = compression;
        self
    }

    /// Returns whether a transport may be used.
    pub(super) fn allows(&self, transport: Transport) -> bool {
        match transport {
            Transport::Polling => self.polling,
            Transport::WebSocket => self.websocket,
        }
    }

    /// Returns the options of sessions.
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
