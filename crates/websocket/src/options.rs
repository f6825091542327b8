//! How WebSockets of a route behave.

use std::time::Duration;

use crate::protocol::Limits;
use crate::rate::{RatePolicy, Rates};
use crate::{Compression, Origins};

/// What becomes of a message for a peer that does not read as fast as it is sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// The message is dropped, counted, and told of by `dropped`.
    #[default]
    Drop,
    /// The connection is closed at once: `close` comes with 1006.
    Close,
    /// The message is dropped, and `error` tells of it: what follows is the program's to decide.
    Error,
}

/// How WebSockets of a route behave, or one that connects.
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
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many bytes a message has at most, also after decompression; the connection of a longer one is closed with
    /// 1009. Default: 1 MiB.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.limits = self.limits.message(bytes);
        self
    }

    /// Sets the maximum number of fragments of a message; a connection that sends more is closed with 1009. With a larger
    /// [`max_message`](Self::max_message), a peer that sends very short fragments may need more. Default: 131,072.
    #[must_use]
    pub fn max_fragments(mut self, count: usize) -> Self {
        self.limits = self.limits.fragments(count);
        self
    }

    /// Sets how many bytes wait at most for a peer that does not read; what becomes of a message for which there is no
    /// room is [`slow_policy`](Self::slow_policy)'s to say. Where nothing waits, a longer message is taken.
    /// Default: 1 MiB.
    #[must_use]
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// Sets what becomes of messages for a peer that does not read. Default: [`SlowPolicy::Drop`].
    #[must_use]
    pub fn slow_policy(mut self, policy: SlowPolicy) -> Self {
        self.slow_policy = policy;
        self
    }

    /// Sets how long the peer may be silent before the connection is closed; `None` switches the limit off, and the pings with
    /// it. Default: 120 s.
    ///
    /// A peer that takes what it is sent is not silent: when the time is over, it begins again if the peer has acknowledged bytes
    /// meanwhile, besides those of the ping.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Option<Duration>) -> Self {
        self.idle_timeout = limit;
        self
    }

    /// Sets whether a silent peer is sent a ping while there is time for its pong: 16 s before the end of the idle
    /// timeout, or a quarter of that if it is shorter. While bytes wait for the peer, no ping is sent, because it would come behind
    /// them. Default: true.
    #[must_use]
    pub fn pings(mut self, pings: bool) -> Self {
        self.pings = pings;
        self
    }

    /// Sets how long the peer may take to answer a close, once that and what was sent before it has gone out, before the
    /// connection is closed without an answer. During a shutdown of the server it is at most 1 s, and a fifth of the deadline.
    /// Default: 5 s.
    #[must_use]
    pub fn close_timeout(mut self, limit: Duration) -> Self {
        self.close_timeout = limit;
        self
    }

    /// Sets how long a WebSocket lives, before it is closed with 1001, so that clients spread anew over servers that come
    /// and go; `None` switches the limit off. Default: `None`.
    #[must_use]
    pub fn max_lifetime(mut self, limit: Option<Duration>) -> Self {
        self.max_lifetime = limit;
        self
    }

    /// Sets how many topics one WebSocket may subscribe to. Default: 1,024.
    #[must_use]
    pub fn max_topics(mut self, count: usize) -> Self {
        self.max_topics = count;
        self
    }

    /// Sets how many WebSockets of one client may be open on the server; `None` switches the limit off. A request beyond it is answered with
    /// 429, without a call of the gate; one whose gate has not decided yet counts. Default: `None`.
    ///
    /// A client is one IPv4 address, or one IPv6 network of 64 bits, of [`Request::client`](uptick_http::Request::client): behind a
    /// proxy, set [`HttpServer::trusted_proxies`](uptick_http::HttpServer::trusted_proxies), or all clients are one. Many people may
    /// share an address. Clients without one, as on a Unix socket, are not limited. WebSockets of routes without this limit do not count.
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

    /// Sets how many messages a peer may send per second, pings and pongs included; `None` switches the limit off, and 0 counts as 1. After a
    /// pause of a second, it may send so many at once. [`rate_policy`](Self::rate_policy) is applied to more. Default: `None`.
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

    /// Sets how many bytes of messages a peer may send per second; `None` switches the limit off, and 0 counts as 1. A longer message is
    /// delivered if the peer has kept the rate before it, and is paid for with the seconds after it. Default: `None`.
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

    /// Sets the pages from which browsers may connect; others are answered with 403. Default: [`Origins::OwnHost`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Sets the subprotocols that are spoken here: the first of the client's that is among them is chosen. Default: none.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets whether messages are compressed where the peer agrees (permessage-deflate, RFC 7692).
    ///
    /// Compression costs memory and time for each message, and where secrets and input of others are in one message, its length
    /// tells of them. Default: [`Compression::Off`].
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}
