//! A request as handlers get it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use uptick_emitter::{Emitter, Listeners, events};
use uptick_socket::{Address, Connection};

use crate::body::{BodyError, BodyReader};
use crate::connection::{self, At, Incoming};
use crate::h1::{BodyLength, RequestHead, Version};
use crate::router::{BadEscape, NormalPath, Params};
use crate::{HeaderMap, Method, Origin, Responder, TrustedProxies};
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
/// | `close` | `()` | the client has gone before it was answered |
///
/// Events also come when the request itself was dropped.
pub struct Request {
    at: At,
    conn: Option<Connection>,
    head: RequestHead,
    path: NormalPath,
    params: Params,
    /// The trusted proxies, when the peer is one of them.
    proxies: Option<Rc<TrustedProxies>>,
    /// The request as the client made it, according to them. It is found when it is first asked for.
    forwarded: OnceCell<Box<Origin>>,
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
        Incoming(self.at).with_listeners(f)
    }

    fn listener_added(&self, slot: u8) {
        if slot == Request::DATA.slot() {
            connection::resume_body(self.at);
        }
    }
}

impl Request {
    pub(crate) fn new(
        at: At,
        conn: Connection,
        head: RequestHead,
        proxies: Option<Rc<TrustedProxies>>,
    ) -> Self {
        Request {
            at,
            conn: Some(conn),
            head,
            path: NormalPath::default(),
            params: Params::default(),
            proxies,
            forwarded: OnceCell::new(),
        }
    }

    /// A request that came on no connection.
    #[cfg(test)]
    pub(crate) fn for_test(method: Method, target: &str) -> Self {
        use crate::h1::{Decoder, Event, Limits};

        let mut decoder = Decoder::new();
        decoder.push(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n").into());
        match decoder.next(&Limits::default()) {
            Some(Event::Head(head)) => Request {
                at: At::nowhere(),
                conn: None,
                head,
                path: NormalPath::default(),
                params: Params::default(),
                proxies: None,
                forwarded: OnceCell::new(),
            },
            other => unreachable!("{other:?}"),
        }
    }

    pub(crate) fn at(&self) -> At {
        self.at
    }

    /// The same request, for those who look at it when the handler has it.
    pub(crate) fn again(&self) -> Self {
        Request {
            at: self.at,
            conn: self.conn,
            head: self.head.clone(),
            path: self.path.clone(),
            params: Params::default(),
            proxies: self.proxies.clone(),
            forwarded: self.forwarded.clone(),
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The path in normal form, which is what routes are compared with and what guards are to compare: every spelling of a path
    /// is the same text. [`target`](Request::target) has the path as it was sent.
    ///
    /// Each byte that may stand in a path is itself, however the client has sent it; all others are escapes with capital
    /// digits. So `/%61dmin` is `/admin`, and `/ü` is `/%C3%BC`. What is not the same to everybody who decodes or resolves it
    /// stays visible: `%2F` and `%5C` for separators within a segment, empty segments, `.` and `..`. Such paths have handlers,
    /// but no files ([`StaticFiles`](crate::StaticFiles)). A path with a malformed escape, which no handler gets, is as it was
    /// sent.
    pub fn path(&self) -> &str {
        self.normal_path()
            .unwrap_or_else(|BadEscape| self.head.raw_path())
    }

    pub(crate) fn normal_path(&self) -> Result<&str, BadEscape> {
        self.path.of(self.head.raw_path())
    }

    pub(crate) fn path_bytes(&self) -> &[u8] {
        self.head.path_bytes()
    }

    /// The target as it was sent: path and query, or a whole URI.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The query as it was sent, without the `?`.
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The names and values of the query, decoded as forms are: `+` is a space, and what is not UTF-8 is replaced.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let pairs = self.query().unwrap_or_default().split('&');
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
        self.params.get(self.path(), name)
    }

    pub(crate) fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// The first value of a field, when it is text; case does not matter in names.
    pub fn header(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.head.field(name)?).ok()
    }

    /// The fields as a map, which is made for the call.
    pub fn headers(&self) -> HeaderMap {
        self.head.to_header_map()
    }

    /// The names and values of the cookies, as they were sent.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.head.fields_of("cookie");
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
        &self.head
    }

    /// The version of the client.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The host that the client asked for, with the port where it was given, `example.com:8080`: as a trusted proxy names it
    /// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), otherwise from the target if that is a whole URI, or
    /// from `Host`. What was received stays available as [`head().host()`](RequestHead::host).
    pub fn host(&self) -> Option<&str> {
        match self.forwarded() {
            Some(origin) => origin.host.as_deref(),
            None => self.head.host(),
        }
    }

    /// The scheme that the client used: `https` when the request [is secure](Request::is_secure), otherwise `http`.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// How many bytes the body has, where the client has said so.
    pub fn content_length(&self) -> Option<u64> {
        match self.head.body() {
            BodyLength::None => Some(0),
            BodyLength::Bytes(length) => Some(length),
            BodyLength::Chunked => None,
        }
    }

    /// The connection on which the request came. Writing to it breaks the answer.
    pub fn connection(&self) -> Option<Connection> {
        self.conn
    }

    /// The other end of the connection: behind a proxy, the proxy. `None` when the client has gone.
    pub fn peer(&self) -> Option<Address> {
        self.conn?.peer()
    }

    /// Returns the request as the client made it: its address, the scheme and the host. They are those of the connection and of
    /// `Host`, or, where a trusted proxy has passed the request on
    /// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)), those that it names.
    ///
    /// [`client`](Request::client), [`is_secure`](Request::is_secure), [`scheme`](Request::scheme) and [`host`](Request::host) are
    /// parts of it.
    pub fn origin(&self) -> Origin {
        match self.forwarded() {
            Some(origin) => origin.clone(),
            None => self.received(),
        }
    }

    /// The address of the client, as [`origin`](Request::origin) has it.
    pub fn client(&self) -> Option<IpAddr> {
        match self.forwarded() {
            Some(origin) => origin.ip,
            None => self.peer_ip(),
        }
    }

    /// Whether the client uses HTTPS: the connection is encrypted, or a trusted proxy reports that the client's connection to it is.
    /// It is what the attribute `Secure` of cookies and the scheme of absolute URLs depend on.
    ///
    /// [`Connection::is_secure`] of [`connection`](Request::connection) says whether the connection itself is encrypted.
    pub fn is_secure(&self) -> bool {
        match self.forwarded() {
            Some(origin) => origin.secure,
            None => self.conn.is_some_and(Connection::is_secure),
        }
    }

    /// The request as trusted proxies describe it; `None` when it came directly.
    fn forwarded(&self) -> Option<&Origin> {
        let proxies = self.proxies.as_ref()?;
        let origin = || Box::new(proxies.believed(self.received(), self.head.fields()));
        Some(self.forwarded.get_or_init(origin))
    }

    /// The request as it was received.
    fn received(&self) -> Origin {
        let proxied = self.conn.and_then(Connection::proxied);
        let client = proxied.map(|proxied| proxied.source);
        Origin {
            ip: self.peer_ip(),
            port: client.or_else(|| self.peer()).and_then(|peer| peer.port()),
            secure: self.conn.is_some_and(Connection::is_secure),
            host: self.head.host().map(str::to_owned),
        }
    }

    fn peer_ip(&self) -> Option<IpAddr> {
        Some(self.conn?.remote_ip()?.to_canonical())
    }

    /// The handle by which the request can be answered at any time, from anywhere on this thread.
    pub fn responder(&self) -> Responder {
        Responder::of(self)
    }

    /// The pieces of the body. Whoever reads them leaves none for others.
    pub fn body_stream(&self) -> BodyReader {
        BodyReader::new(self.at)
    }

    /// Whether more of the body may come.
    pub fn has_body(&self) -> bool {
        connection::body_left(self.at)
    }

    /// Stops `data` and `end` until [`resume`](Request::resume), and so, in time, the client.
    pub fn pause(&self) {
        connection::pause_body(self.at);
    }

    /// Lets `data` and `end` come; without a `data` listener the body is thrown away.
    pub fn resume(&self) {
        connection::resume_body(self.at);
    }

    /// The fields behind a chunked body that has ended.
    pub fn trailers(&self) -> Option<HeaderMap> {
        connection::trailers(self.at).map(|trailers| trailers.to_header_map())
    }

    pub(crate) fn body_limit(&self) -> usize {
        connection::body_limit(self.at)
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
