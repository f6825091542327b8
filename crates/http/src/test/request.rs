//! Test requests.

use std::fmt::{self, Write as _};
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING};
use serde::Serialize;
use uptick_emitter::Excerpt;
use uptick_socket::Address;

use super::transport::MemoryTransport;
use super::{TestError, TestExchange, TestResponse};
use crate::exchange::{self, BodyPiece, BodyProgress, ExchangeTransport as _, Head};
use crate::h1::{BodyLength, Decoder, Event, Limits};
use crate::site::{Service, Site};
use crate::{HeaderName, HeaderValue, Method, StatusCode};

/// A test request: HTTP/1.1, with the host `localhost` unless another one is set.
#[must_use = "a request does nothing until it is sent"]
pub struct TestRequest {
    service: Option<Rc<Service>>,
    method: Method,
    target: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    cookies: String,
    body: Option<Bytes>,
    peer: Option<Address>,
    secure: bool,
    failure: Option<&'static str>,
}

impl TestRequest {
    pub(super) fn new(service: Option<Rc<Service>>, method: Method, target: String) -> Self {
        TestRequest {
            service,
            method,
            target,
            headers: Vec::new(),
            cookies: String::new(),
            body: None,
            peer: None,
            secure: false,
            failure: None,
        }
    }

    /// Adds a header. Default: `Host: localhost`, and the length of a body.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        HeaderValue: TryFrom<V>,
    {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => self.failure = Some("the name or the value of a header is invalid"),
        }
        self
    }

    /// Adds a cookie. Default: none.
    pub fn cookie(mut self, name: &str, value: &str) -> Self {
        if !self.cookies.is_empty() {
            self.cookies.push_str("; ");
        }
        let _ = write!(self.cookies, "{name}={value}");
        self
    }

    /// Sets the body. Default: none.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the body to a value as JSON, and the `Content-Type`. Default: no body.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => self.body = Some(json.into()),
            Err(_) => self.failure = Some("the body cannot be encoded as JSON"),
        }
        self.header(CONTENT_TYPE, "application/json")
    }

    /// Sets the address of the client. Default: unknown, as for a client on a Unix socket.
    pub fn peer(mut self, peer: impl Into<Address>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Sets whether the request is received over TLS. Default: false.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sends the request and runs the loop of the thread until the response is complete.
    ///
    /// # Limits
    /// 10 s of real time, 64 MiB of body.
    ///
    /// # Errors
    /// The errors of [`start`](TestRequest::start) and [`TestExchange::wait`].
    pub fn send(self) -> Result<TestResponse, TestError> {
        self.start()?.wait()
    }

    /// Sends the request with a body that is pushed in pieces ([`TestExchange::push`]). The body is chunked, unless the request has a
    /// `Content-Length`.
    ///
    /// # Errors
    /// The same as [`start`](TestRequest::start).
    pub fn start_streaming(mut self) -> Result<TestExchange, TestError> {
        self.body = None;
        if !self.has(CONTENT_LENGTH) && !self.has(TRANSFER_ENCODING) {
            let chunked = HeaderValue::from_static("chunked");
            self.headers.push((TRANSFER_ENCODING, chunked));
        }
        self.begin()
    }

    /// Sends the request and returns the exchange. Middleware and the handler are called before this method returns.
    ///
    /// # Errors
    /// [`TestError::InvalidRequest`] for a request that is malformed or exceeds a limit of the server, which a connection refuses before
    /// routing; [`TestError::ServerClosed`] if the server is closed.
    pub fn start(mut self) -> Result<TestExchange, TestError> {
        let length = self.body.as_ref().map_or(0, Bytes::len);
        if self.body.is_some() && !self.has(CONTENT_LENGTH) && !self.has(TRANSFER_ENCODING) {
            self.headers
                .push((CONTENT_LENGTH, HeaderValue::from(length)));
        }
        self.body.get_or_insert_default();
        self.begin()
    }

    fn has(&self, name: HeaderName) -> bool {
        self.headers.iter().any(|(other, _)| *other == name)
    }

    fn begin(self) -> Result<TestExchange, TestError> {
        let request = Excerpt::new(format!("{} {}", self.method, self.target)).to_string();
        let Some(service) = &self.service else {
            return Err(TestError::ServerClosed { request });
        };
        let site = service.site();
        let limits = &site.settings.limits;
        let head = self.to_head();
        let failure = self.failure.or_else(|| self.invalid_part());
        let mut exchange = exchange::take();
        let read = Rc::get_mut(&mut exchange).and_then(|new| new.head.read(&head, limits));
        if failure.is_some() || read != Some(head.len()) {
            exchange::discard(exchange);
            return Err(refused(request, failure, head, limits));
        }
        let length = match exchange.head.body() {
            BodyLength::None => Some(0),
            BodyLength::Bytes(length) => Some(length),
            BodyLength::Chunked => None,
        };
        let transport = MemoryTransport::new(
            service,
            self.peer.clone(),
            self.secure,
            site.settings.timeouts.response,
        );
        if let Some(new) = Rc::get_mut(&mut exchange) {
            new.proxies = site.proxies_of(|| self.peer.as_ref()?.ip());
            let carrier = Rc::<MemoryTransport>::clone(&transport);
            new.connect(carrier, Rc::<Site>::clone(&site));
        }
        if length == Some(0) {
            exchange.body.set(BodyProgress::Received);
        }
        transport.start_exchange(&exchange, self.body.clone(), length);
        let client = TestExchange::new(request, Rc::clone(&transport));
        let send = |head: &Head<'_>, body: BodyPiece<'_>| transport.respond(&exchange, head, body);
        if service.handle(&exchange, &site, send) {
            transport.await_response();
        }
        Ok(client)
    }

    fn to_head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut add = |name: &HeaderName, value: &[u8]| {
            for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        };
        if !self.has(HOST) {
            add(&HOST, b"localhost");
        }
        for (name, value) in &self.headers {
            add(name, value.as_bytes());
        }
        if !self.cookies.is_empty() {
            add(&COOKIE, self.cookies.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Returns the error for a target or a cookie with characters that would end it.
    fn invalid_part(&self) -> Option<&'static str> {
        if self.target.bytes().any(|byte| byte <= b' ') {
            return Some("the target contains white space or control characters");
        }
        let ends = |byte: u8| byte.is_ascii_control();
        let cookies = self.cookies.bytes().any(ends);
        cookies.then_some("a cookie contains control characters")
    }
}

/// Returns the error for a request that the server refuses.
fn refused(
    request: String,
    failure: Option<&'static str>,
    head: Vec<u8>,
    limits: &Limits,
) -> TestError {
    let mut decoder = Decoder::new();
    decoder.push(head.into());
    let (status, reason) = match (failure, decoder.next(limits)) {
        (Some(failure), _) => (StatusCode::BAD_REQUEST, failure),
        (None, Some(Event::Error(error))) => (error.status(), error.reason()),
        _ => (StatusCode::BAD_REQUEST, "the head is incomplete"),
    };
    TestError::InvalidRequest {
        request,
        status,
        reason,
    }
}

impl fmt::Debug for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequest")
            .field("method", &self.method)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
