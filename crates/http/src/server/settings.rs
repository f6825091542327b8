//! Limits of a server.

use std::rc::Rc;
use std::time::Duration;

use super::HttpServer;
use crate::TrustedProxies;
use crate::h1::Limits;
use crate::site::SiteSettings;

/// Settings. A change applies to subsequent connections and requests.
impl HttpServer {
    /// Sets the limits of heads and of body framing; a request that exceeds them is answered with 414, 431 or 413. Default: a request
    /// line of 16 KiB, 100 headers of 64 KiB in total, 4 KiB of chunk extensions, 16 KiB of trailers.
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|settings| settings.limits = limits)
    }

    /// Sets the maximum time until the first byte of a new connection, which is closed otherwise; `None` disables the limit. Default: 10
    /// s.
    pub fn first_byte_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.first_byte = time(limit))
    }

    /// Sets the maximum time for a request head, from its first byte on; a slower one is answered with 408. An HTTP/2 connection closes with
    /// `ENHANCE_YOUR_CALM`, also for any other frame but DATA. `None` disables the limit. Default: 10 s.
    pub fn head_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.head = time(limit))
    }

    /// Sets how long an idle connection is kept open for the next request; `None` disables the limit. A connection whose client is still
    /// reading the last response is not idle. Default: 60 s.
    pub fn idle_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.idle = time(limit))
    }

    /// Sets the minimum rate of a request body while the program waits for it, in bytes per second, and the window over which it is
    /// measured, at least one second. A slower body is answered with 408. A rate of 0 disables the limit. Default: 1 KiB/s, 10 s.
    pub fn body_rate(self, bytes_per_second: u32, window: Duration) -> Self {
        self.set(|settings| {
            settings.timeouts.body_rate = bytes_per_second;
            settings.timeouts.body = if bytes_per_second == 0 {
                Duration::MAX
            } else {
                window.max(Duration::from_secs(1))
            };
        })
    }

    /// Sets the maximum time until a handler starts its response, counted from the end of the request. After that, the response is 500,
    /// the timeout is logged, and the handler's future is dropped; `None` disables the limit. Default: 60 s.
    pub fn response_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.response = time(limit))
    }

    /// Sets how long the server waits after a client has half-closed the connection (FIN, or `close_notify` of TLS) before it probes
    /// whether the client has gone. Default: 1 s.
    ///
    /// A client that has closed its socket and one that is half-closed both send a FIN. To distinguish them, the server sends the first
    /// byte of the response, or of the next chunk, early if it has sent nothing for this time. The kernel of a client that has closed its
    /// socket replies with a reset: the handler's future is dropped, and `close` is emitted. A client that accepts three such bytes, sent
    /// at this interval, is half-closed and gets its response, however long that takes.
    ///
    /// If there is no byte to send in advance, as in a body that has a `Content-Length` or, for HTTP/1.0, ends with the connection, the
    /// client is considered gone if nothing was sent for this time.
    ///
    /// An HTTP/2 client gets a PING frame instead of a byte: immediately, and again at this interval, but at most once per second.
    pub fn disconnect_grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.timeouts.grace = grace)
    }

    /// Sets whether a client that half-closes the connection while it waits for a response is considered connected, without probes, until
    /// sending to it fails; see [`disconnect_grace`](HttpServer::disconnect_grace). Default: false.
    pub fn allow_half_open(self, allow: bool) -> Self {
        self.set(|settings| settings.timeouts.half_open = allow)
    }

    /// Sets the maximum size of a body for [`text`](crate::Request::text) and [`json`](crate::Request::json), in bytes. A larger body is
    /// answered with 413. Default: 1 MiB.
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|settings| settings.body_limit = bytes)
    }

    /// Sets how many bytes of an unread body are discarded after the response so that the connection can be reused; if the rest is
    /// longer, the connection closes. They must arrive within one window of [`body_rate`](HttpServer::body_rate). An HTTP/2 connection does not
    /// close: see [`linger`](HttpServer::linger). Default: 64 KiB.
    pub fn drain_limit(self, bytes: u32) -> Self {
        self.set(|settings| settings.drain_limit = bytes)
    }

    /// Sets how long a client may acknowledge nothing of a response before its connection is closed; `None` disables the limit. A client
    /// that has read ahead may pause for longer. An HTTP/2 stream whose window stays closed for this time is reset. This sets
    /// [`Connection::set_write_timeout`](uptick_socket::Connection::set_write_timeout) of subsequent connections. Default: the
    /// connection's, which is 30 s.
    pub fn write_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.write_timeout = Some(limit))
    }

    /// Sets how long input is still read and discarded after the last response of a connection, so that the response arrives. In HTTP/2, it
    /// is also the time for the rest of a request body after its response, before the stream is reset with `NO_ERROR`. This sets
    /// [`Connection::set_linger`](uptick_socket::Connection::set_linger) of subsequent connections. Default: the connection's, which is 1
    /// s.
    pub fn linger(self, time: Duration) -> Self {
        self.set(|settings| settings.linger = Some(time))
    }

    /// Sets the proxies whose headers are trusted to describe the client's address, the scheme and the host
    /// ([`Request::client_info`](crate::Request::client_info)). Default: none.
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        let proxies = Rc::new(proxies);
        self.configure(|site| site.proxies = Some(proxies));
        self
    }

    pub(super) fn set(self, f: impl FnOnce(&mut SiteSettings)) -> Self {
        self.configure(|site| f(&mut site.settings));
        self
    }
}

fn time(limit: Option<Duration>) -> Duration {
    limit.unwrap_or(Duration::MAX)
}
