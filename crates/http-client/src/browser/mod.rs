//! The browser: settings, and the requests that it starts.

mod builder;
mod client_request;
mod response;
mod settings;
mod streaming;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use uptick_http::HttpServer;
use uptick_socket::{ConnectorInterface, Resolver};

use crate::connect::{Http2Mode, ProxyMode, TlsOptions};
#[cfg(feature = "cookies")]
use crate::cookies::CookieStore;
use crate::error::{Error, ErrorKind};
use crate::pool::{Pool, PoolLimits, PoolStats};
use crate::url::Url;

pub use builder::{RequestBuilder, StreamingRequest};
pub use client_request::ClientRequest;
pub(crate) use response::HeadParts;
pub use response::Response;
pub(crate) use settings::Settings;
pub use streaming::StreamingResponse;

/// An HTTP client.
///
/// It sends requests over HTTP/1.1, or over HTTP/2 if the server offers it, and keeps connections open for later requests. The `with` methods return
/// another browser with a changed setting, which shares the pool of connections. Clones are cheap and share the pool too.
///
/// # Limits
/// | limit | default | setter |
/// |---|---|---|
/// | total time of a request | 60 s | [`with_timeout`](Browser::with_timeout) |
/// | connecting | 10 s | [`with_connect_timeout`](Browser::with_connect_timeout) |
/// | TLS handshake | 10 s | [`with_tls_timeout`](Browser::with_tls_timeout) |
/// | no progress while the request is sent | 30 s | [`with_write_timeout`](Browser::with_write_timeout) |
/// | first byte of the response | 30 s | [`with_first_byte_timeout`](Browser::with_first_byte_timeout) |
/// | pause within the response | 30 s | [`with_read_timeout`](Browser::with_read_timeout) |
/// | buffered body | 16 MiB | [`with_response_buffer`](Browser::with_response_buffer) |
/// | streamed body | none | [`with_max_body`](Browser::with_max_body) |
/// | body bytes received before they are read | 256 KiB | [`with_read_ahead`](Browser::with_read_ahead) |
/// | head of a response | 64 KiB | [`with_max_head`](Browser::with_max_head) |
/// | redirects | 10 | [`with_follow_redirects`](Browser::with_follow_redirects) |
/// | connections | 16 per destination, 64 in all | [`with_limits`](Browser::with_limits) |
///
/// # Examples
/// ```no_run
/// use uptick_http_client::{Browser, Error, Response};
///
/// let browser = Browser::new();
/// let request = browser.get("http://example.com/").on("response", |response: Response| {
///     println!("{} {}", response.status(), response.text());
/// });
/// # use uptick_emitter::Emitter;
/// request.on("error", |error: Error| eprintln!("{error}"));
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
///
/// With futures:
/// ```no_run
/// use uptick_http_client::{Browser, Error};
///
/// uptick_event_loop::block_on(async {
///     let browser = Browser::new();
///     let response = browser.get("http://example.com/").await?;
///     println!("{} {}", response.status(), response.text());
///     Ok::<_, Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Browser {
    pub(crate) settings: Rc<Settings>,
    pub(crate) pool: Rc<Pool>,
}

impl Default for Browser {
    fn default() -> Self {
        Browser::new()
    }
}

impl Browser {
    /// Creates a browser with a pool of its own.
    pub fn new() -> Browser {
        Browser {
            settings: Rc::default(),
            pool: Rc::new(Pool::new(PoolLimits::default())),
        }
    }

    /// Creates a browser whose requests are served by an [`HttpServer`] of the same thread, in memory: without a port, sockets or name lookups, whatever
    /// the host of the URL is. It is for tests; see [`uptick_http::test`] for the differences to connections. Trailers of requests are not passed. Timeouts
    /// follow a manual clock.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    /// use uptick_http_client::{Browser, Error};
    ///
    /// let http = HttpServer::new();
    /// http.get("/users/{id}", |req: Request| format!("User {}", req.param("id").unwrap_or("?")));
    ///
    /// let browser = Browser::for_server(&http);
    /// let response = uptick_event_loop::block_on(async move {
    ///     browser.get("http://example.com/users/7").await
    /// })??;
    /// assert_eq!(response.text(), "User 7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_server(server: &HttpServer) -> Browser {
        Browser::new().with(|settings| settings.server = Some(server.test()))
    }

    /// Creates a GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Creates a HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// Creates a POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Creates a PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// Creates a PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// Creates a DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Creates a request with any method, which is sent as it is: `Method::OPTIONS`, `"PURGE"`.
    ///
    /// The URL is absolute, or relative to the [base](Browser::with_base). An invalid method or URL fails the request when it is sent.
    pub fn request(&self, method: impl TryInto<Method>, url: impl AsRef<str>) -> RequestBuilder {
        let method = method.try_into().map_err(|_| {
            let reason = "the method has characters that are not allowed";
            Error::new(ErrorKind::InvalidRequest, reason)
        });
        let url = self.settings.url(url.as_ref());
        RequestBuilder::new(self.clone(), method, url)
    }

    /// Creates a request whose response is streamed: `request(method, url).streaming()`.
    pub fn request_streaming(
        &self,
        method: impl TryInto<Method>,
        url: impl AsRef<str>,
    ) -> StreamingRequest {
        self.request(method, url).streaming()
    }

    /// Returns the state of the pool of connections.
    pub fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Closes the idle connections, and returns their number.
    pub fn close_idle(&self) -> usize {
        self.pool.close_idle()
    }

    fn with(&self, change: impl FnOnce(&mut Settings)) -> Browser {
        let mut settings = Settings::clone(&self.settings);
        change(&mut settings);
        Browser {
            settings: Rc::new(settings),
            pool: Rc::clone(&self.pool),
        }
    }

    /// Sets the total time of a request: waiting for a connection, all redirects, the body. A time of 2 s or more may be exceeded by up to 0.2 s.
    /// Default: 60 s.
    #[must_use]
    pub fn with_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.total_timeout = time.into())
    }

    /// Sets the timeout of connecting: the name resolution, and all attempts to connect to addresses or to a proxy. Default: 10 s.
    #[must_use]
    pub fn with_connect_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.connect_timeout = time.into())
    }

    /// Sets the timeout of a TLS handshake. Default: 10 s.
    #[must_use]
    pub fn with_tls_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.tls_timeout = time.into())
    }

    /// Sets the maximum time during which no byte of the request can be sent. Default: 30 s.
    #[must_use]
    pub fn with_write_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.exchange.write_timeout = time.into())
    }

    /// Sets the maximum time from the last byte of the request to the first byte of the response. Default: 30 s.
    #[must_use]
    pub fn with_first_byte_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.exchange.first_byte_timeout = time.into())
    }

    /// Sets the maximum time between two receptions of bytes of a response. The time during which a streamed body is not read does not count.
    /// Default: 30 s.
    #[must_use]
    pub fn with_read_timeout(&self, time: impl Into<Option<Duration>>) -> Browser {
        self.with(|settings| settings.exchange.read_timeout = time.into())
    }

    /// Sets the base of relative URLs (RFC 3986, section 5.2). Default: none.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidUrl`] or [`ErrorKind::UnsupportedScheme`].
    ///
    /// # Examples
    /// ```
    /// use uptick_http_client::Browser;
    ///
    /// let api = Browser::new().with_base("https://example.com/api/")?;
    /// let request = api.get("users/7"); // https://example.com/api/users/7
    /// # let _ = request;
    /// # Ok::<(), uptick_http_client::Error>(())
    /// ```
    pub fn with_base(&self, url: impl AsRef<str>) -> Result<Browser, Error> {
        let url = Url::parse(url.as_ref())?;
        Ok(self.with(|settings| settings.base = Some(url)))
    }

    /// Sets a header of all requests, in place of one with the same name. A request that has the header itself sends its own. Default: `User-Agent` and
    /// `Accept: */*`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] if the name or the value is not valid.
    pub fn with_header<K, V>(&self, name: K, value: V) -> Result<Browser, Error>
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let (name, value) = builder::header(name, value)?;
        Ok(self.with(|settings| {
            settings.headers.retain(|(other, _)| *other != name);
            settings.headers.push((name, value));
        }))
    }

    /// Removes a header of all requests. Default: `User-Agent` and `Accept` are sent.
    #[must_use]
    pub fn without_header(&self, name: &str) -> Browser {
        self.with(|settings| {
            let is_other = |other: &HeaderName| !other.as_str().eq_ignore_ascii_case(name);
            settings.headers.retain(|(other, _)| is_other(other));
        })
    }

    /// Sets the maximum number of redirects that are followed; `None` to follow none. A redirect more than that fails with
    /// [`ErrorKind::TooManyRedirects`]. Default: 10.
    #[must_use]
    pub fn with_follow_redirects(&self, max: impl Into<Option<u32>>) -> Browser {
        self.with(|settings| settings.max_redirects = max.into())
    }

    /// Sets whether a response with a status of 400 or above is an error of kind [`ErrorKind::Status`]. Default: true.
    #[must_use]
    pub fn with_reject_error_response(&self, rejects: bool) -> Browser {
        self.with(|settings| settings.rejects_errors = rejects)
    }

    /// Sets the maximum size of a body that is buffered, after decompression, in bytes. Default: 16 MiB.
    #[must_use]
    pub fn with_response_buffer(&self, bytes: impl Into<Option<u64>>) -> Browser {
        self.with(|settings| settings.response_buffer = bytes.into())
    }

    /// Sets the maximum size of a body that is streamed, after decompression, in bytes. Default: none.
    #[must_use]
    pub fn with_max_body(&self, bytes: impl Into<Option<u64>>) -> Browser {
        self.with(|settings| settings.max_body = bytes.into())
    }

    /// Sets the maximum size of the head of a response, and of its trailers, in bytes. At least 64 bytes. Default: 64 KiB.
    #[must_use]
    pub fn with_max_head(&self, bytes: usize) -> Browser {
        self.with(|settings| settings.exchange.max_head = bytes.max(64))
    }

    /// Sets the number of bytes of a streamed body that are received before they are read. At least 16 KiB, at most 1 MiB. Default: 256 KiB.
    #[must_use]
    pub fn with_read_ahead(&self, bytes: usize) -> Browser {
        let bytes = bytes.clamp(16 * 1024, 1024 * 1024);
        self.with(|settings| settings.exchange.read_ahead = bytes)
    }

    /// Sets the proxy. Default: [`ProxyMode::None`].
    #[must_use]
    pub fn with_proxy(&self, proxy: impl Into<ProxyMode>) -> Browser {
        self.with(|settings| settings.proxy = proxy.into())
    }

    /// Sets the use of HTTP/2. Default: [`Http2Mode::Auto`].
    #[must_use]
    pub fn with_http2(&self, mode: Http2Mode) -> Browser {
        self.with(|settings| settings.http2 = mode)
    }

    /// Sets whether `Accept-Encoding` is sent and compressed bodies are decompressed. Requests that have the header themselves are decompressed too.
    /// With a `Range` header it is `identity`, because a part of a compressed body cannot be decompressed.
    /// Default: true.
    #[must_use]
    pub fn with_decompression(&self, decompresses: bool) -> Browser {
        self.with(|settings| settings.decompresses = decompresses)
    }

    /// Sets the store of cookies, which receives the cookies of responses and adds them to requests. Default: none.
    #[cfg(feature = "cookies")]
    #[must_use]
    pub fn with_cookies(&self, store: impl Into<Option<CookieStore>>) -> Browser {
        self.with(|settings| settings.cookies = store.into())
    }

    /// Sets whether a request is sent once more, on a new connection, if a reused connection closes before any byte of the response. This applies to the
    /// methods GET, HEAD, OPTIONS, TRACE, PUT and DELETE, unless the body is a stream that can be sent only once. Default: true.
    #[must_use]
    pub fn with_retry(&self, retries: bool) -> Browser {
        self.with(|settings| settings.retries = retries)
    }

    /// Sets the addresses of a host name, in order, in place of a lookup; without any, the name has no address. It applies to proxies too. Default: names
    /// are looked up.
    #[must_use]
    pub fn with_resolve(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Browser {
        self.with(|settings| {
            settings.resolve.insert(name, addresses);
        })
    }

    /// Sets the resolver of host names, whose results are kept for 30 s. The returned browser has a new pool. Default: the system's resolver.
    #[must_use]
    pub fn with_resolver(&self, resolver: Resolver) -> Browser {
        let mut browser = self.with(|_| ());
        browser.pool = Rc::new(self.pool.with_resolver(resolver));
        browser
    }

    /// Sets the path of a Unix socket to connect to, in place of the host of the URL. Default: none.
    #[must_use]
    pub fn with_unix_socket(&self, path: impl Into<PathBuf>) -> Browser {
        self.with(|settings| settings.unix = Some(path.into()))
    }

    /// Sets the options of TLS. Default: the certificate of the server must be valid and issued by a CA that the system trusts.
    #[must_use]
    pub fn with_tls(&self, options: TlsOptions) -> Browser {
        self.with(|settings| settings.tls = options)
    }

    /// Sets the connector that opens the connections to servers and proxies, in place of name lookups, TCP and Unix sockets. TLS runs over its connections.
    /// The returned browser has a new pool. Default: none.
    #[must_use]
    pub fn with_connector(&self, connector: impl ConnectorInterface + 'static) -> Browser {
        let mut browser = self.with(|settings| settings.connector = Some(Rc::new(connector)));
        browser.pool = Rc::new(self.pool.with_limits(self.pool.limits()));
        browser
    }

    /// Sets the limits of the pool of connections. The returned browser has a new pool. Default: see [`PoolLimits`].
    #[must_use]
    pub fn with_limits(&self, limits: PoolLimits) -> Browser {
        let mut browser = self.with(|_| ());
        browser.pool = Rc::new(self.pool.with_limits(limits));
        browser
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
