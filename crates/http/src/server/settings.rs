//! The limits of a server.

use std::rc::Rc;
use std::time::Duration;

use super::HttpServer;
use crate::TrustedProxies;
use crate::h1::Limits;
use crate::site::Settings;

/// The settings, which hold for all that begins after they are made.
impl HttpServer {
    /// Sets how much of a head and of the framing of a body is taken; more is answered with 414, 431 or 413.
    /// Default: a request line of 16 KiB, 100 fields of 64 KiB in all, 4 KiB of chunk extensions, 16 KiB of trailers.
    pub fn limits(self, limits: Limits) -> Self {
        self.set(|settings| settings.limits = limits)
    }

    /// Sets how long a new connection may be without an octet, before it is closed; `None` switches the limit off.
    /// Default: 10 s.
    pub fn first_octet_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.first_octet = time(limit))
    }

    /// Sets how long a head may take in all, from its first octet on, before it is answered with 408; `None` switches the
    /// limit off. Default: 10 s.
    pub fn head_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.head = time(limit))
    }

    /// Sets how long a connection is kept for the next request, before it is closed; `None` switches the limit off. A connection
    /// whose client is still reading the last response is not idle. Default: 60 s.
    pub fn idle_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.idle = time(limit))
    }

    /// Sets how fast a body has to come while it is waited for: so many bytes a second in each such window of time. One
    /// that comes more slowly is answered with 408. A rate of 0 is no limit; a window counts as a second at least.
    /// Default: 1 KiB/s, 10 s.
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

    /// Sets how long a handler may take to begin its answer, counted from the end of the request, before it is answered
    /// with 500 and logged, and its future is dropped; `None` switches the limit off. Default: 60 s.
    pub fn answer_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.timeouts.answer = time(limit))
    }

    /// Sets how long the server waits, once a client has ended its side (FIN, or `close_notify` of TLS), before it tests whether
    /// the client is still there. Default: 1 s.
    ///
    /// A client that has closed its socket and one that is half-closed both send a FIN. To distinguish them, the server sends the
    /// first byte of the response, or of the next chunk, early if it has sent nothing for this time. The kernel of a client that has
    /// closed its socket replies with a reset: the handler's future is dropped, and `close` is emitted. A client that
    /// accepts three such bytes, this time apart, is half-closed and gets its response, however long that takes.
    ///
    /// Where there is no byte to send ahead, in a body that has a `Content-Length` or, for HTTP/1.0, ends with the connection, the
    /// client counts as gone when nothing was sent for this time.
    pub fn disconnect_grace(self, grace: Duration) -> Self {
        self.set(|settings| settings.timeouts.grace = grace)
    }

    /// Sets whether a client that has ended its side while it waits for a response counts as there, untested, until sending to
    /// it fails; see [`disconnect_grace`](HttpServer::disconnect_grace). Default: false.
    pub fn allow_half_open(self, allow: bool) -> Self {
        self.set(|settings| settings.timeouts.half_open = allow)
    }

    /// Sets how many bytes of a body [`text`](crate::Request::text) and [`json`](crate::Request::json) take; more is
    /// answered with 413. Default: 1 MiB.
    pub fn body_limit(self, bytes: usize) -> Self {
        self.set(|settings| settings.body_limit = bytes)
    }

    /// Sets how many bytes of a body that nobody reads are thrown away behind its answer, so that the connection can be kept;
    /// of one that is longer the connection ends. They have as long as [`body_rate`](HttpServer::body_rate) has for a window.
    /// Default: 64 KiB.
    pub fn drain_limit(self, bytes: u32) -> Self {
        self.set(|settings| settings.drain_limit = bytes)
    }

    /// Sets for how long a client may acknowledge nothing of a response, before its connection is closed; `None` switches the
    /// limit off. A client that has read ahead may pause for longer. It is that of [`Connection::set_write_timeout`](uptick_socket::Connection::set_write_timeout), for
    /// connections that come from now on. Default: that of the connection, which is 30 s.
    pub fn write_timeout(self, limit: Option<Duration>) -> Self {
        self.set(|settings| settings.write_timeout = Some(limit))
    }

    /// Sets how long a connection that has had its last answer is read on, so that the answer arrives; what comes is thrown
    /// away. It is that of [`Connection::set_linger`](uptick_socket::Connection::set_linger), for connections that come from
    /// now on. Default: that of the connection, which is 1 s.
    pub fn linger(self, time: Duration) -> Self {
        self.set(|settings| settings.linger = Some(time))
    }

    /// Sets the proxies that are believed when they describe the request as the client made it: its address, the scheme and the
    /// host ([`Request::client_info`](crate::Request::client_info)). Default: none.
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        let proxies = Rc::new(proxies);
        self.configure(|site| site.proxies = Some(proxies));
        self
    }

    fn set(self, f: impl FnOnce(&mut Settings)) -> Self {
        self.configure(|site| f(&mut site.settings));
        self
    }
}

fn time(limit: Option<Duration>) -> Duration {
    limit.unwrap_or(Duration::MAX)
}
