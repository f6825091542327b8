//! The request passed to handlers.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::Id;
use uptick_socket::{Address, Connection};

use super::BodyReader;
use super::state::Exchange;
use crate::body::BodyError;
use crate::h1::{BodyLength, RequestHead, Version};
use crate::routing::{BadEscape, Params};
use crate::type_map::MissingValue;
use crate::{ClientInfo, HeaderMap, Method};
use bytes::Bytes;

/// An HTTP request.
///
/// Headers are looked up in the received bytes; use [`headers`](Request::headers) to access many of them. The body is read on demand: by
/// a future ([`bytes`](Request::bytes), [`text`](Request::text), [`json`](Request::json)), as a stream
/// ([`body_stream`](Request::body_stream)) or by events.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `data` | [`Bytes`] | a piece of the body was received; the first listener starts the body |
/// | `end` | `()` | the body is complete |
/// | `error` | [`BodyError`] | receiving the body failed; without a listener, the error is the response |
/// | `half_close` | `()` | the client has half-closed the connection before the response; usually it has gone, and `close` follows |
/// | `close` | `()` | the connection was closed before the response was complete |
///
/// Events are emitted even after the request value was dropped.
pub struct Request {
    pub(super) exchange: Rc<Exchange>,
}

events! {
    impl Request {
        Bytes => {
            /// A piece of the body was received.
            DATA = "data";
        }
        () => {
            /// The body is complete.
            END = "end";
            /// The client has half-closed the connection before the response was complete.
            HALF_CLOSE = "half_close";
            /// The connection was closed before the response was complete.
            CLOSE = "close";
        }
        BodyError => {
            /// Receiving the body failed.
            ERROR = "error", warn;
        }
    }
}

impl Emitter for Request {
    type Events = Request;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.exchange.request_listeners(f)
    }

    fn listener_added(&self, slot: u8) {
        if slot == Request::DATA.slot() {
            self.exchange.resume_body();
        }
    }
}

impl Request {
    /// Returns the id of the server that received the request.
    pub(crate) fn server_id(&self) -> Option<Id> {
        self.exchange.server()
    }

    /// Sets the time at which the request was passed to the middleware, on the loop's clock.
    pub(crate) fn set_start(&self, start: Duration) {
        self.exchange.start.set(start);
    }

    /// Returns the time at which the request was passed to the middleware, if it was set.
    pub(crate) fn start(&self) -> Duration {
        self.exchange.start.get()
    }

    /// Creates a handle of an exchange.
    #[inline]
    pub(crate) fn of(exchange: Rc<Exchange>) -> Self {
        Request { exchange }
    }

    /// Creates a request without a connection.
    #[cfg(test)]
    pub(crate) fn for_test(method: Method, target: &str) -> Self {
        use crate::h1::Limits;

        let mut exchange = Exchange::default();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        let read = exchange.head.read(head.as_bytes(), &Limits::default());
        assert!(read.is_some(), "{head}");
        Request::of(Rc::new(exchange))
    }

    /// Returns another handle of the same request.
    pub(crate) fn clone_handle(&self) -> Self {
        Request::of(Rc::clone(&self.exchange))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        self.exchange.head.method()
    }

    /// Returns the path in normal form: all spellings of a path have the same normal form. Routes match this form, and access checks must also
    /// use it. [`target`](Request::target) returns the path as sent.
    ///
    /// Each byte that is allowed in a path is unescaped, however the client has sent it; all others are percent-encoded with uppercase
    /// digits. So `/%61dmin` becomes `/admin`, and `/ü` becomes `/%C3%BC`. Parts that servers decode or resolve differently are kept:
    /// `%2F` and `%5C` within a segment, empty segments, `.` and `..`. Handlers can match such paths, but `StaticFiles` does not serve
    /// files for them. A path with a malformed escape, which matches no handler, is returned as sent.
    pub fn path(&self) -> &str {
        match self.normal_path() {
            Ok(path) => str::from_utf8(path).unwrap_or_default(),
            Err(BadEscape) => self.exchange.head.raw_path(),
        }
    }

    #[inline]
    pub(crate) fn normal_path(&self) -> Result<&[u8], BadEscape> {
        self.exchange.path.of(self.exchange.head.raw_path_bytes())
    }

    pub(crate) fn path_bytes(&self) -> &[u8] {
        self.exchange.head.path_bytes()
    }

    /// Returns the target as sent: a path and query, or a complete URI.
    pub fn target(&self) -> &str {
        self.exchange.head.target()
    }

    /// Returns the query as sent, without the `?`.
    pub fn query_string(&self) -> Option<&str> {
        self.exchange.head.query()
    }

    /// Returns the names and values of the query, decoded as form data: `+` is a space, and invalid UTF-8 is replaced.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.query_string().unwrap_or_default().split('&');
        pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
    }

    /// Returns the first value of a name in the query, decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Returns the decoded value of a parameter of the route's pattern.
    pub fn param(&self, name: &str) -> Option<&str> {
        let path = self.normal_path().unwrap_or_default();
        self.exchange.params.get()?.get_in(path, name)
    }

    /// Returns the parameters of the route, if it has any.
    pub(crate) fn route_params(&self) -> Option<&Params> {
        self.exchange.params.get()
    }

    /// Sets the parameters of the matching route.
    pub(crate) fn set_params(&self, params: Params) {
        // A request matches one route.
        let _ = self.exchange.params.set(params);
    }

    /// Returns the first value of a header if it is valid UTF-8. Names are case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.exchange.head.field(name)?).ok()
    }

    /// Returns the headers as a map, which is created by each call.
    pub fn headers(&self) -> HeaderMap {
        self.exchange.head.to_header_map()
    }

    /// Returns the names and values of the cookies, as sent.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.exchange.head.fields_of("cookie");
        fields
            .filter_map(|field| str::from_utf8(field).ok())
            .flat_map(crate::cookies::pairs)
    }

    /// Returns the value of the first cookie with this name, as sent.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Returns the decoded head.
    pub fn head(&self) -> &RequestHead {
        &self.exchange.head
    }

    /// Returns the client's HTTP version.
    pub fn version(&self) -> Version {
        self.exchange.head.version()
    }

    /// Returns the requested host, with the port if one was sent, such as `example.com:8080`: as reported by a trusted proxy
    /// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), otherwise from the target if it is a complete URI, or from
    /// `Host`. [`head().host()`](RequestHead::host) returns the received value.
    pub fn host(&self) -> Option<&str> {
        match self.forwarded() {
            Some(info) => info.host.as_deref(),
            None => self.exchange.head.host(),
        }
    }

    /// Returns the scheme used by the client: `https` if the request [is secure](Request::is_secure), otherwise `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Returns the length of the body in bytes, if the client has announced it.
    pub fn content_length(&self) -> Option<u64> {
        match self.exchange.head.body() {
            BodyLength::None => Some(0),
            BodyLength::Bytes(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    /// Returns the connection of the request. Writing to it corrupts the response.
    pub fn connection(&self) -> Option<Connection> {
        self.exchange.conn
    }

    /// Returns the address of the peer: behind a proxy, the proxy. `None` if the connection is closed.
    pub fn peer(&self) -> Option<Address> {
        match self.exchange.conn {
            Some(conn) => conn.peer(),
            None => self.exchange.transport()?.peer(),
        }
    }

    /// Returns the client's address, the scheme and the host. They come from the connection and `Host`, or, for a request from a trusted
    /// proxy ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), from the proxy's headers.
    ///
    /// [`client`](Request::client), [`is_secure`](Request::is_secure), [`scheme`](Request::scheme) and [`host`](Request::host) return
    /// parts of it.
    pub fn client_info(&self) -> ClientInfo {
        match self.forwarded() {
            Some(info) => info.clone(),
            None => self.received(),
        }
    }

    /// Returns the address of the client, as in [`client_info`](Request::client_info).
    pub fn client(&self) -> Option<IpAddr> {
        match self.forwarded() {
            Some(info) => info.ip,
            None => self.peer_ip(),
        }
    }

    /// Returns `true` if the client uses HTTPS: the connection is encrypted, or a trusted proxy reports that the client's connection is.
    /// The attribute `Secure` of cookies and the scheme of absolute URLs depend on it.
    ///
    /// [`Connection::is_secure`] of [`connection`](Request::connection) returns whether the connection itself is encrypted.
    pub fn is_secure(&self) -> bool {
        match self.forwarded() {
            Some(info) => info.secure,
            None => self.is_encrypted(),
        }
    }

    /// Returns `true` if the request was received over an encrypted connection.
    fn is_encrypted(&self) -> bool {
        match self.exchange.conn {
            Some(conn) => conn.is_secure(),
            None => self
                .exchange
                .transport()
                .is_some_and(|transport| transport.is_secure()),
        }
    }

    /// Returns the client information reported by trusted proxies; `None` for a direct request.
    fn forwarded(&self) -> Option<&ClientInfo> {
        let proxies = self.exchange.proxies.as_ref()?;
        let info = || Box::new(proxies.believed(self.received(), self.exchange.head.fields()));
        Some(self.exchange.forwarded.get_or_init(info))
    }

    /// Returns the client information without regard to proxies.
    fn received(&self) -> ClientInfo {
        let proxied = self.exchange.conn.and_then(Connection::proxied);
        let client = proxied.map(|proxied| proxied.source);
        ClientInfo {
            ip: self.peer_ip(),
            port: client.or_else(|| self.peer()).and_then(|peer| peer.port()),
            secure: self.is_encrypted(),
            host: self.exchange.head.host().map(str::to_owned),
        }
    }

    fn peer_ip(&self) -> Option<IpAddr> {
        let ip = match self.exchange.conn {
            Some(conn) => conn.remote_ip(),
            None => self.peer()?.ip(),
        };
        Some(ip?.to_canonical())
    }

    /// Attaches a value to the request, replacing a value of the same type. Middleware uses this to pass data to the handler. All handles
    /// of the request share the values. They are dropped with the exchange, after the `close` listeners. Default: none.
    ///
    /// # Examples
    /// Middleware that authenticates:
    /// ```
    /// use uptick_http::{HttpError, HttpServer, Next, Reply, Request, Response, StatusCode};
    ///
    /// struct User(String);
    ///
    /// fn authenticate(req: Request, next: Next) -> Reply {
    ///     if req.header("authorization") != Some("Bearer secret") {
    ///         return Response::from(HttpError::from_status(StatusCode::UNAUTHORIZED)).into();
    ///     }
    ///     req.set_extension(User("alice".to_owned()));
    ///     next.run(req)
    /// }
    ///
    /// let http = HttpServer::new();
    /// http.wrap(authenticate);
    /// http.get("/me", |req: Request| match req.extension::<User>() {
    ///     Some(user) => format!("Hello, {}!", user.0),
    ///     None => "Hello!".to_owned(),
    /// });
    /// ```
    pub fn set_extension<E: 'static>(&self, extension: E) {
        self.exchange.set_extension(extension);
    }

    /// Returns the attached value of a type ([`set_extension`](Request::set_extension)).
    pub fn extension<E: 'static>(&self) -> Option<Rc<E>> {
        self.exchange.extension()
    }

    /// Returns the attached value of a type, as [`extension`](Request::extension) does, or an error.
    ///
    /// # Errors
    /// [`MissingValue`] if no value of the type was set; it lists the types that were. Returned by `?` from a handler, it becomes a
    /// response with status 500, and is logged.
    pub fn try_extension<E: 'static>(&self) -> Result<Rc<E>, MissingValue> {
        self.extension()
            .ok_or_else(|| MissingValue::new::<E>("extension", self.exchange.extension_names()))
    }

    /// Returns the id of the request, for logs; `None` without [`RequestIds`](crate::RequestIds).
    pub fn id(&self) -> Option<Rc<str>> {
        self.exchange
            .extended_if_any(|extended| extended.id.clone())
            .flatten()
    }

    /// Sets the id of the request.
    pub(crate) fn set_id(&self, id: Rc<str>) {
        self.exchange.extended(|extended| extended.id = Some(id));
    }

    /// Returns `true` if the peer is a trusted proxy ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)).
    pub fn is_forwarded(&self) -> bool {
        self.exchange.proxies.is_some()
    }

    /// Returns the body as a stream. Each piece is returned once, to one reader.
    pub fn body_stream(&self) -> BodyReader {
        BodyReader::new(Rc::clone(&self.exchange))
    }

    /// Returns `true` if more of the body may follow.
    pub fn has_body(&self) -> bool {
        self.exchange.has_body_left()
    }

    /// Stops `data` and `end` events until [`resume`](Request::resume). Flow control then slows down the client.
    pub fn pause(&self) {
        self.exchange.pause_body();
    }

    /// Resumes `data` and `end` events. Without a `data` listener, the body is discarded.
    pub fn resume(&self) {
        self.exchange.resume_body();
    }

    /// Returns the trailers of a chunked body that has ended.
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.exchange
            .trailers()
            .map(|trailers| trailers.to_header_map())
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.exchange.body_limit()
    }
}

/// Decodes a part of a query.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&text).decode_utf8_lossy();
    Cow::Owned(decoded.into_owned())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("target", &self.target())
            .finish_non_exhaustive()
    }
}
