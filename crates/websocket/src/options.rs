//! Options of WebSockets.

use std::time::Duration;

use crate::protocol::Limits;
use crate::rate::{RatePolicy, Rates};
use crate::{Compression, Origins};

/// The action for a message that does not fit into the write queue of a slow peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// The message is dropped and counted, and `dropped` is emitted.
    #[default]
    Drop,
    /// The connection is closed immediately: `close` is emitted with 1006.
    Close,
    /// The message is dropped, and `error` is emitted, so that the program can decide what to do.
    Error,
}

/// Options of the WebSockets of a route, or of a client WebSocket.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_websocket::{SlowPolicy, WebSocketOptions};
///
/// let options = WebSocketOptions::new()
///     .max_message(16 * 1024)
///     .max_buffered(64 * 1024)
///     .slow_policy(SlowPolicy::Close)
///     .idle_timeout(Some(Duration::from_secs(60)));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct WebSocketOptions {
    pub(crate) limits: Limits,
    pub(crate) max_buffered: usize,
    pub(crate) slow_policy: SlowPolicy,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) pings: bool,
    pub(crate) close_timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_topics: usize,
    pub(crate) max_per_client: Option<usize>,
    pub(crate) rates: Rates,
    pub(crate) origins: Origins,
    pub(crate) protocols: Vec<String>,
    pub(crate) compression: Compression,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        WebSocketOptions {
            limits: Limits::default(),
            max_buffered: 1024 * 1024,
            slow_policy: SlowPolicy::Drop,
            idle_timeout: Some(Duration::from_secs(120)),
            pings: true,
            close_timeout: Duration::from_secs(5),
            max_lifetime: None,
            max_topics: 1024,
            max_per_client: None,
            rates: Rates::default(),
            origins: Origins::OwnHost,
            protocols: Vec::new(),
            compression: Compression::Off,
        }
    }
}

impl WebSocketOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum size of a received message in bytes, also after decompression; a longer message closes the connection
    /// with 1009. Default: 1 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.limits = self.limits.message(bytes);
        self
    }

    /// Sets the maximum number of fragments of a received message; more fragments close the connection with 1009. If a larger
    /// [`max_message`](Self::max_message) is sent in very short fragments, this limit may also need to be raised. Default: 131,072.
    #[must_use]
    pub fn max_fragments(mut self, count: usize) -> Self {
        self.limits = self.limits.fragments(count);
        self
    }

    /// Sets the maximum number of bytes in the write queue; [`slow_policy`](Self::slow_policy) is applied to a message that does
    /// not fit. If the queue is empty, a longer message is accepted.
    /// Default: 1 MiB.
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// Sets the action for messages that do not fit into the write queue of a slow peer. Default: [`SlowPolicy::Drop`].
    #[must_use]
    pub fn slow_policy(mut self, policy: SlowPolicy) -> Self {
        self.slow_policy = policy;
        self
    }

    /// Sets the time without received bytes after which the connection is closed; `None` disables the timeout and the pings.
    ///
    /// A peer that acknowledges sent bytes is alive: if it has acknowledged bytes other than the ping when the time has elapsed, the
    /// timeout restarts. Default: 120 s.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets whether an idle peer is sent a ping in time for its pong: 16 s before the end of the idle
    /// timeout, or a quarter of the timeout if that is shorter. While bytes are in the write queue, no ping is sent, because it would be queued
    /// after them. Default: true.
    #[must_use]
    pub fn pings(mut self, pings: bool) -> Self {
        self.pings = pings;
        self
    }

    /// Sets the maximum time for the peer's close frame, from the time this side's close frame and all bytes before it have been sent; then the
    /// connection is closed. During a shutdown of the server it is at most 1 s, and at most a fifth of the deadline.
    /// Default: 5 s.
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.close_timeout = limit;
        self
    }

    /// Sets the maximum lifetime of a WebSocket, after which it is closed with 1001, so that clients redistribute when servers are added
    /// or removed; `None` disables the limit. Default: `None`.
    #[must_use]
    pub fn max_lifetime(mut self, limit: Option<Duration>) -> Self {
        self.max_lifetime = limit;
        self
    }

    /// Sets the maximum number of topics that one WebSocket may subscribe to. Default: 1,024.
    #[must_use]
    pub fn max_topics(mut self, count: usize) -> Self {
        self.max_topics = count;
        self
    }

    /// Sets the maximum number of open WebSockets of one client on the server; `None` disables the limit. A request over the limit gets the
    /// response 429, and the gate is not called; a request whose gate has not decided yet counts.
    ///
    /// A client is an IPv4 address or an IPv6 network of 64 bits, from [`Request::client`](uptick_http::Request::client): behind a
    /// proxy, set [`HttpServer::trusted_proxies`](uptick_http::HttpServer::trusted_proxies), or all clients count as one. Many users may
    /// share an address. Clients without an IP address, as on a Unix socket, are not limited. WebSockets of routes without this limit do not count.
    /// Default: `None`.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    /// use uptick_websocket::{Accept, WebSocket, WebSocketOptions, WebSocketRoutes};
    ///
    /// let options = WebSocketOptions::new().max_per_client(20);
    /// HttpServer::new().websocket_with("/chat", options, |_: Request| {
    ///     Accept::new(|ws: WebSocket| drop(ws.send("Welcome!")))
    /// });
    /// ```
    #[must_use]
    pub fn max_per_client(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.max_per_client = limit.into();
        self
    }

    /// Sets the maximum number of messages that a peer may send per second, including pings and pongs; `None` disables the limit, and 0 counts as 1. After an
    /// idle second, it may send this number at once. [`rate_policy`](Self::rate_policy) is applied to further messages. Default: `None`.
    ///
    /// # Examples
    /// ```
    /// use uptick_websocket::{RatePolicy, WebSocketOptions};
    ///
    /// let options = WebSocketOptions::new()
    ///     .message_rate(50)
    ///     .byte_rate(256 * 1024)
    ///     .rate_policy(RatePolicy::Pause);
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn message_rate(mut self, per_second: impl Into<Option<u32>>) -> Self {
        self.rates.messages = per_second.into().map_or(0, |count| count.max(1));
        self
    }

    /// Sets the maximum number of message bytes that a peer may send per second; `None` disables the limit, and 0 counts as 1. A longer message is
    /// delivered if the peer was within the limit before it, and is charged against the following seconds. Default: `None`.
    #[must_use]
    pub fn byte_rate(mut self, per_second: impl Into<Option<u64>>) -> Self {
        self.rates.bytes = per_second.into().map_or(0, |bytes| bytes.max(1));
        self
    }

    /// Sets the action when a peer sends more than [`message_rate`](Self::message_rate) or [`byte_rate`](Self::byte_rate) allows.
    /// Default: [`RatePolicy::Close`].
    #[must_use]
    pub fn rate_policy(mut self, policy: RatePolicy) -> Self {
        self.rates.policy = policy;
        self
    }

    /// Sets the pages from which browsers may connect; other pages get the response 403. Default: [`Origins::OwnHost`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the supported subprotocols: the first subprotocol offered by the client that is among them is chosen. Default: none.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the compression of messages, if the peer supports it (permessage-deflate, RFC 7692).
    ///
    /// Compression costs memory, and time for each message. If a message contains both a secret and input from an attacker, its compressed length
    /// leaks information about the secret. Default: [`Compression::Off`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}
