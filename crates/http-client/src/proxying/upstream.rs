//! The servers behind a reverse proxy, and the settings of the proxy.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use uptick_http::ForwardedHeaders;

use super::balancer::{Balancer, LoadBalancing, UpstreamServer};
use super::headers::ForwardedMode;
use crate::browser::Browser;
use crate::error::{Error, ErrorKind};
use crate::pool::PoolLimits;
use crate::url::Url;

/// The servers behind a reverse proxy, and the settings of the proxy: the argument of [`ProxyRoutes::proxy`](super::ProxyRoutes::proxy).
///
/// # Requests
/// Method, path, query, headers and body are passed on as received from the client, with these exceptions:
///
/// - Headers of one connection are removed: `Connection`, the headers that it names, `Keep-Alive`, `TE`, `Transfer-Encoding`, `Upgrade` and the
///   like (RFC 9110, section 7.6.1). `Proxy-Authorization` is removed too.
/// - `Host` names the server ([`keep_host`](Upstream::keep_host)).
/// - `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` describe the client. They replace headers of the client itself, unless it is a
///   trusted proxy ([`forwarded`](Upstream::forwarded)).
/// - A path with the segments `.` or `..`, in any spelling, is refused with status 400.
///
/// A response that begins before the end of the body ends the sending of the body.
///
/// The body is streamed with its length, or in chunks if the client has sent none, at the speed of the slower side. Trailers follow it.
///
/// # Responses
/// Status, headers and body are passed on as received from the server, without the headers of one connection. A `Location` that begins with the URL of the server
/// becomes a path of the proxy. The body is streamed at the speed of the slower side. If the server fails within the body, the client's response ends
/// as incomplete: its connection closes, or its HTTP/2 stream is reset. When the client disconnects, the request to the server is cancelled.
///
/// | status | reason |
/// |---|---|
/// | 502 | the server could not be reached, or its response was malformed or incomplete |
/// | 503 | the upstream has no server, or too many requests wait for a connection |
/// | 504 | the server did not respond in time |
/// | 500 | no response has started within the [`response_timeout`](uptick_http::HttpServer::response_timeout) of the proxy, 60 s by default |
///
/// The reason is logged, and not sent to the client. Interim responses are not passed on, except 100 to a client that waits for it.
///
/// # WebSocket
/// A WebSocket handshake over HTTP/1 or HTTP/2 is passed to the server over HTTP/1, and then the bytes in both directions, at the speed of the slower
/// side. Each direction ends by itself, except over HTTP/2, where the end of one direction ends the other one. A shutdown of the proxy closes the tunnels
/// at its deadline. Requests for other protocols are passed without `Upgrade`.
///
/// # Limits
/// | limit | default | setter |
/// |---|---|---|
/// | other servers that are tried for a request | 1 | [`retries`](Upstream::retries) |
/// | consecutive failures after which a server is out | 3 | [`max_failures`](Upstream::max_failures) |
/// | time for which a server is out | 10 s | [`recovery_time`](Upstream::recovery_time) |
/// | body of a request | none | [`body_limit`](Upstream::body_limit) |
/// | idle tunnel | 1 h | [`tunnel_idle_timeout`](Upstream::tunnel_idle_timeout) |
/// | connections | 256 per server, 1,024 in all | [`browser`](Upstream::browser) |
/// | pause within a response | 60 s | [`browser`](Upstream::browser) |
/// | connecting, TLS, first byte, size of heads, waiting requests | see [`Browser`] and [`PoolLimits`] | [`browser`](Upstream::browser) |
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::HttpServer;
/// use uptick_http_client::{LoadBalancing, ProxyRoutes, Upstream};
///
/// let upstream = Upstream::new("http://127.0.0.1:9000")
///     .server("http://127.0.0.1:9001")
///     .balancing(LoadBalancing::LeastConnections)
///     .strip_prefix(true);
/// let http = HttpServer::new().proxy("/api/", upstream);
/// # let _ = http;
/// ```
#[derive(Clone)]
pub struct Upstream {
    pub(super) balancer: Balancer,
    pub(super) browser: Browser,
    pub(super) strips_prefix: bool,
    pub(super) keeps_host: bool,
    pub(super) forwarded: ForwardedMode,
    pub(super) forwarded_headers: ForwardedHeaders,
    pub(super) via: Option<Rc<str>>,
    pub(super) headers: HeaderMap,
    pub(super) retries: usize,
    pub(super) max_failures: Option<u32>,
    pub(super) recovery_time: Duration,
    pub(super) body_limit: Option<usize>,
    pub(super) tunnel_idle_timeout: Option<Duration>,
    pub(super) health_check: Option<(Rc<str>, Duration)>,
}

/// The state of a server, as returned by [`Upstream::servers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamState {
    /// The URL.
    pub url: String,
    /// Number of requests and tunnels in progress.
    pub active: usize,
    /// `false` while the server is out after failures or unhealthy.
    pub is_available: bool,
}

impl Upstream {
    /// Creates an upstream with one server: `http://127.0.0.1:9000`. The path of the URL, if it has any, is put in front of the path of each request.
    ///
    /// # Panics
    /// If the URL is malformed; [`try_new`](Upstream::try_new) returns the error instead.
    #[track_caller]
    #[allow(clippy::panic, reason = "a malformed URL is a programming error")]
    pub fn new(url: &str) -> Upstream {
        match Upstream::try_new(url) {
            Ok(upstream) => upstream,
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates an upstream with one server, as [`new`](Upstream::new) does.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidUrl`] or [`ErrorKind::UnsupportedScheme`]. A URL with user information, a query or a fragment is not valid either.
    pub fn try_new(url: &str) -> Result<Upstream, Error> {
        let limits = PoolLimits::new().max_per_host(256).max_total(1024);
        let browser = Browser::new()
            .with_limits(limits)
            .with_read_timeout(Duration::from_secs(60));
        let upstream = Upstream {
            balancer: Balancer::default(),
            browser: for_proxying(&browser),
            strips_prefix: false,
            keeps_host: false,
            forwarded: ForwardedMode::default(),
            forwarded_headers: ForwardedHeaders::XForwarded,
            via: None,
            headers: HeaderMap::new(),
            retries: 1,
            max_failures: Some(3),
            recovery_time: Duration::from_secs(10),
            body_limit: None,
            tunnel_idle_timeout: Some(Duration::from_secs(3600)),
            health_check: None,
        };
        upstream.try_server(url)
    }

    /// Adds a server. Default: the argument of [`new`](Upstream::new).
    ///
    /// # Panics
    /// If the URL is malformed; [`try_server`](Upstream::try_server) returns the error instead.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a malformed URL is a programming error")]
    pub fn server(self, url: &str) -> Upstream {
        match self.try_server(url) {
            Ok(upstream) => upstream,
            Err(error) => panic!("{error}"),
        }
    }

    /// Adds a server, as [`server`](Upstream::server) does.
    ///
    /// # Errors
    /// The errors of [`try_new`](Upstream::try_new).
    pub fn try_server(mut self, url: &str) -> Result<Upstream, Error> {
        let url = Url::parse(url)?;
        if url.user_info().is_some() || url.query().is_some() || url.fragment().is_some() {
            let reason = format!(
                "the URL {url} of an upstream server has user information, a query or a fragment",
                url = url.as_str()
            );
            return Err(Error::new(ErrorKind::InvalidUrl, reason));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        self.balancer
            .servers
            .push(Rc::new(UpstreamServer::new(base)));
        Ok(self)
    }

    /// Sets how a server is chosen for a request. Default: [`LoadBalancing::RoundRobin`].
    #[must_use]
    pub fn balancing(mut self, balancing: LoadBalancing) -> Upstream {
        self.balancer.balancing = balancing;
        self
    }

    /// Sets the browser that sends the requests: its timeouts, limits, TLS options, Unix socket, proxy and pool. It follows no redirects, decompresses
    /// nothing, keeps no cookies, and has no total timeout. Default: the limits of [`Browser`], except for 60 s between two reads, and 256
    /// connections per server and 1,024 in all.
    #[must_use]
    pub fn browser(mut self, browser: &Browser) -> Upstream {
        self.browser = for_proxying(browser);
        self
    }

    /// Sets whether the prefix is removed from the path: `/api/users` becomes `/users`. Default: `false`.
    #[must_use]
    pub fn strip_prefix(mut self, strips: bool) -> Upstream {
        self.strips_prefix = strips;
        self
    }

    /// Sets whether the `Host` of the client's request is kept. Otherwise `Host` names the server. Default: `false`.
    #[must_use]
    pub fn keep_host(mut self, keeps: bool) -> Upstream {
        self.keeps_host = keeps;
        self
    }

    /// Sets what happens to the headers `Forwarded` and `X-Forwarded-*` of the client. Default: [`ForwardedMode::ExtendTrusted`].
    #[must_use]
    pub fn forwarded(mut self, mode: ForwardedMode) -> Upstream {
        self.forwarded = mode;
        self
    }

    /// Sets the kinds of headers that describe the client. `Forwarded` of a trusted proxy is extended in any case. Default:
    /// [`ForwardedHeaders::XForwarded`].
    #[must_use]
    pub fn forwarded_headers(mut self, kinds: ForwardedHeaders) -> Upstream {
        self.forwarded_headers = kinds;
        self
    }

    /// Sets the name of the proxy in `Via` of requests and responses (RFC 9110, section 7.6.3). Default: none; the header is not added.
    #[must_use]
    pub fn via<'a>(mut self, name: impl Into<Option<&'a str>>) -> Upstream {
        self.via = name.into().map(Rc::from);
        self
    }

    /// Sets a header of all requests, which replaces a header of the client with the same name. Default: none.
    ///
    /// # Panics
    /// If the name or the value is not valid.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a malformed header is a programming error")]
    pub fn header(mut self, name: &str, value: &str) -> Upstream {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            panic!("a header of the requests to an upstream server is not valid");
        };
        self.headers.insert(name, value);
        self
    }

    /// Sets the maximum number of other servers that are tried for a request. Another server is tried if no connection could be established, and for
    /// GET, HEAD, OPTIONS, TRACE, PUT and DELETE without a body also if the connection closed before the first byte of a response. Default: 1.
    #[must_use]
    pub fn retries(mut self, count: usize) -> Upstream {
        self.retries = count;
        self
    }

    /// Sets the number of consecutive failures to connect after which a server gets no requests for the [recovery time](Upstream::recovery_time).
    /// If no server is left, requests are passed to the one that has been out longest. `None` disables the limit. Default: 3.
    #[must_use]
    pub fn max_failures(mut self, count: impl Into<Option<u32>>) -> Upstream {
        self.max_failures = count.into();
        self
    }

    /// Sets the time for which a server gets no requests after failures. Then it gets requests again, until the next failure. Default: 10 s.
    #[must_use]
    pub fn recovery_time(mut self, time: Duration) -> Upstream {
        self.recovery_time = time;
        self
    }

    /// Checks each server with a GET request for a path at an interval of at least 100 ms, from the registration of the routes on. A server whose
    /// response has a status of 400 or above, or does not arrive within 5 s or the interval, gets no requests until a check succeeds. The checks do
    /// not keep the loop running. Default: no checks.
    #[must_use]
    pub fn health_check(mut self, path: &str, interval: Duration) -> Upstream {
        let slash = if path.starts_with('/') { "" } else { "/" };
        self.health_check = Some((format!("{slash}{path}").into(), interval));
        self
    }

    /// Sets the maximum size of the body of a request, in bytes. A larger one is refused with status 413. The body is streamed, and never held in
    /// memory. Default: `None`.
    #[must_use]
    pub fn body_limit(mut self, bytes: impl Into<Option<usize>>) -> Upstream {
        self.body_limit = bytes.into();
        self
    }

    /// Sets the time after which a tunnel is closed if no bytes pass. Default: 1 h.
    #[must_use]
    pub fn tunnel_idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Upstream {
        self.tunnel_idle_timeout = time.into();
        self
    }

    /// Returns the state of the servers. Clones of an upstream share it.
    pub fn servers(&self) -> Vec<UpstreamState> {
        let servers = self.balancer.servers.iter();
        servers
            .map(|server| UpstreamState {
                url: server.base.clone(),
                active: server.active(),
                is_available: server.is_available(),
            })
            .collect()
    }
}

/// Returns a browser that changes neither requests nor responses.
fn for_proxying(browser: &Browser) -> Browser {
    let browser = browser
        .with_timeout(None)
        .with_follow_redirects(None)
        .with_reject_error_response(false)
        .with_decompression(false)
        .with_max_body(None)
        .without_header("user-agent")
        .without_header("accept");
    #[cfg(feature = "cookies")]
    let browser = browser.with_cookies(None);
    browser
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("servers", &self.balancer)
            .finish_non_exhaustive()
    }
}
