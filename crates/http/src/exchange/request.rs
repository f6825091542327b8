//! A request as handlers get it.

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

/// A request.
///
/// Its fields are looked up in the bytes that came; take [`headers`](Request::headers) where many are wanted. The body
/// is read when it is asked for: by a future ([`bytes`](Request::bytes), [`text`](Request::text),
/// [`json`](Request::json)), as a stream ([`body_stream`](Request::body_stream)) or by events.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `data` | [`Bytes`] | a piece of the body has come; the first listener has it come |
/// | `end` | `()` | the body is over |
/// | `error` | [`BodyError`] | no more of the body comes; without a listener, the request is answered for it |
/// | `half_close` | `()` | the client has ended its side of the connection before it was answered: it has gone, as a rule, and `close` follows |
/// | `close` | `()` | the client has gone before it was answered |
///
/// Events also come when the request itself was dropped.
pub struct Request {
    pub(super) exchange: Rc<Exchange>,
}

events! {
    impl Request {
        Bytes => {
            /// A piece of the body has come.
            DATA = "data";
        }
        () => {
            /// The body is over.
            END = "end";
            /// The client has ended its side of the connection before it was answered.
            HALF_CLOSE = "half_close";
            /// The client has gone before it was answered.
            CLOSE = "close";
        }
        BodyError => {
            /// No more of the body comes.
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
    /// Returns the id of the server that has received the request.
    pub(crate) fn server_id(&self) -> Option<Id> {
        self.exchange.server()
    }

    /// Notes when the request was passed to the middleware, on the loop's clock.
    pub(crate) fn set_start(&self, start: Duration) {
        self.exchange.start.set(start);
    }

    /// Returns when the request was passed to the middleware, if that was noted.
    pub(crate) fn start(&self) -> Duration {
        self.exchange.start.get()
    }

    /// Makes a handle of an exchange.
    #[inline]
    pub(crate) fn of(exchange: Rc<Exchange>) -> Self {
        Request { exchange }
    }

    /// Makes a request that came on no connection.
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
    pub(crate) fn again(&self) -> Self {
        Request::of(Rc::clone(&self.exchange))
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.exchange.head.method()
    }

    /// The path in normal form, which is what routes are compared with and what guards are to compare: every spelling of a path
    /// is the same text. [`target`](Request::target) has the path as it was sent.
    ///
    /// Each byte that may stand in a path is itself, however the client has sent it; all others are escapes with capital
    /// digits. So `/%61dmin` is `/admin`, and `/ü` is `/%C3%BC`. What is not the same to everybody who decodes or resolves it
    /// stays visible: `%2F` and `%5C` for separators within a segment, empty segments, `.` and `..`. Such paths have handlers,
    /// but no files (`StaticFiles`). A path with a malformed escape, which no handler gets, is as it was
    /// sent.
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

    /// The target as it was sent: path and query, or a whole URI.
    pub fn target(&self) -> &str {
        self.exchange.head.target()
    }

    /// The query as it was sent, without the `?`.
    pub fn query_string(&self) -> Option<&str> {
        self.exchange.head.query()
    }

    /// The names and values of the query, decoded as forms are: `+` is a space, and what is not UTF-8 is replaced.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.query_string().unwrap_or_default().split('&');
        pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
    }

    /// The first value of a name in the query, decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query_pairs()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The decoded value of a parameter of the route's pattern.
    pub fn param(&self, name: &str) -> Option<&str> {
        let path = self.normal_path().unwrap_or_default();
        self.exchange.params.get()?.get_in(path, name)
    }

    /// Returns the parameters of the route, if it has any.
    pub(crate) fn route_params(&self) -> Option<&Params> {
        self.exchange.params.get()
    }

    /// Sets the parameters of the route, which was found.
    pub(crate) fn set_params(&self, params: Params) {
        // A request has one route.
        let _ = self.exchange.params.set(params);
    }

    /// The first value of a field, when it is text; case does not matter in names.
    pub fn header(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.exchange.head.field(name)?).ok()
    }

    /// The fields as a map, which is made for the call.
    pub fn headers(&self) -> HeaderMap {
        self.exchange.head.to_header_map()
    }

    /// The names and values of the cookies, as they were sent.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.exchange.head.fields_of("cookie");
        fields
            .filter_map(|field| str::from_utf8(field).ok())
            .flat_map(crate::cookies::pairs)
    }

    /// The value of the first cookie of a name, as it was sent.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The head, as it was decoded.
    pub fn head(&self) -> &RequestHead {
        &self.exchange.head
    }

    /// The version of the client.
    pub fn version(&self) -> Version {
        self.exchange.head.version()
    }

    /// The host that the client asked for, with the port where it was given, `example.com:8080`: as a trusted proxy names it
    /// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), otherwise from the target if that is a whole URI, or
    /// from `Host`. What was received stays available as [`head().host()`](RequestHead::host).
    pub fn host(&self) -> Option<&str> {
        match self.forwarded() {
            Some(info) => info.host.as_deref(),
            None => self.exchange.head.host(),
        }
    }

    /// The scheme that the client used: `https` when the request [is secure](Request::is_secure), otherwise `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// How many bytes the body has, where the client has said so.
    pub fn content_length(&self) -> Option<u64> {
        match self.exchange.head.body() {
            BodyLength::None => Some(0),
            BodyLength::Bytes(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    /// The connection on which the request came. Writing to it breaks the answer.
    pub fn connection(&self) -> Option<Connection> {
        self.exchange.conn
    }

    /// The other end of the connection: behind a proxy, the proxy. `None` when the client has gone.
    pub fn peer(&self) -> Option<Address> {
        match self.exchange.conn {
            Some(conn) => conn.peer(),
            None => self.exchange.transport()?.peer(),
        }
    }

    /// Returns the request as the client made it: its address, the scheme and the host. They are those of the connection and of
    /// `Host`, or, where a trusted proxy has passed the request on
    /// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), those that it names.
    ///
    /// [`client`](Request::client), [`is_secure`](Request::is_secure), [`scheme`](Request::scheme) and [`host`](Request::host) are
    /// parts of it.
    pub fn client_info(&self) -> ClientInfo {
        match self.forwarded() {
            Some(info) => info.clone(),
            None => self.received(),
        }
    }

    /// The address of the client, as [`client_info`](Request::client_info) has it.
    pub fn client(&self) -> Option<IpAddr> {
        match self.forwarded() {
            Some(info) => info.ip,
            None => self.peer_ip(),
        }
    }

    /// Whether the client uses HTTPS: the connection is encrypted, or a trusted proxy reports that the client's connection to it is.
    /// It is what the attribute `Secure` of cookies and the scheme of absolute URLs depend on.
    ///
    /// [`Connection::is_secure`] of [`connection`](Request::connection) says whether the connection itself is encrypted.
    pub fn is_secure(&self) -> bool {
        match self.forwarded() {
            Some(info) => info.secure,
            None => self.is_encrypted(),
        }
    }

    /// Returns whether the request came encrypted.
    fn is_encrypted(&self) -> bool {
        match self.exchange.conn {
            Some(conn) => conn.is_secure(),
            None => self
                .exchange
                .transport()
                .is_some_and(|transport| transport.is_secure()),
        }
    }

    /// The request as trusted proxies describe it; `None` when it came directly.
    fn forwarded(&self) -> Option<&ClientInfo> {
        let proxies = self.exchange.proxies.as_ref()?;
        let info = || Box::new(proxies.believed(self.received(), self.exchange.head.fields()));
        Some(self.exchange.forwarded.get_or_init(info))
    }

    /// The request as it was received.
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

    /// Attaches a value to the request, in place of the one of the same type, such as what a middleware has found out for the handler. All
    /// handles of the request share the values. They are dropped with the exchange, after `close` listeners. Default: none.
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

    /// Returns the value of a type that is attached to the request ([`set_extension`](Request::set_extension)).
    pub fn extension<E: 'static>(&self) -> Option<Rc<E>> {
        self.exchange.extension()
    }

    /// Returns the value of a type that is attached to the request, as [`extension`](Request::extension) does, or an error.
    ///
    /// # Errors
    /// [`MissingValue`] if no value of the type was set; it has the names of the types that were. Returned by `?` from a handler, it is a
    /// response with status 500, and is logged.
    pub fn try_extension<E: 'static>(&self) -> Result<Rc<E>, MissingValue> {
        self.extension()
            .ok_or_else(|| MissingValue::new::<E>("extension", self.exchange.extension_names()))
    }

    /// Returns the id of the request, for logs; `None` without [`RequestIds`](crate::RequestIds).
    pub fn id(&self) -> Option<Rc<str>> {
        self.exchange
            .extras_if_any(|extras| extras.id.clone())
            .flatten()
    }

    /// Sets the id of the request.
    pub(crate) fn set_id(&self, id: Rc<str>) {
        self.exchange.extras(|extras| extras.id = Some(id));
    }

    /// Returns whether the request came by a trusted proxy.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.exchange.proxies.is_some()
    }

    /// The pieces of the body. Whoever reads them leaves none for others.
    pub fn body_stream(&self) -> BodyReader {
        BodyReader::new(Rc::clone(&self.exchange))
    }

    /// Whether more of the body may come.
    pub fn has_body(&self) -> bool {
        self.exchange.has_body_left()
    }

    /// Stops `data` and `end` until [`resume`](Request::resume), and so, in time, the client.
    pub fn pause(&self) {
        self.exchange.pause_body();
    }

    /// Lets `data` and `end` come; without a `data` listener the body is thrown away.
    pub fn resume(&self) {
        self.exchange.resume_body();
    }

    /// The fields behind a chunked body that has ended.
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.exchange
            .trailers()
            .map(|trailers| trailers.to_header_map())
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.exchange.body_limit()
    }
}

/// A part of a query, decoded.
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
