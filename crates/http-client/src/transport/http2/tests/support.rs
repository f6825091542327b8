//! A session with a scripted server.

use std::cell::RefCell;
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method};
use rustix::net::sockopt::set_socket_linger;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_http::h1::RequestHead;
use uptick_http::h1::client::ResponseHead;
use uptick_http::h2::hpack::{Encoder, Indexing};
use uptick_http::h2::{self, ErrorCode, Event, Limits, StreamKey};
use uptick_socket::Connection;

use super::super::Http2Session;
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, ExchangeSettings, OutgoingBody, OutgoingRequest, SessionOwner};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Maximum time of a wait.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Installs a loop with a manual clock on this thread.
pub(super) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// Runs enough iterations to process everything that is ready now.
pub(super) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Runs iterations until the condition holds.
#[track_caller]
pub(super) fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < TIMEOUT,
            "the condition did not become true in time"
        );
        let most = Some(Duration::from_millis(5));
        EventLoop::current().run_once(most).unwrap();
    }
}

/// Returns a frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Returns a header block without use of the dynamic table.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut block);
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        encoder.field(name, value, Indexing::Without, &mut block);
    }
    block
}

/// Returns a HEADERS frame with a status and other fields.
pub(super) fn head(stream: u32, flags: u8, status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&[(":status", status)], fields].concat();
    frame(HEADERS, flags | END_HEADERS, stream, &block(&fields))
}

pub(super) fn data(stream: u32, flags: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, bytes.as_ref())
}

pub(super) fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.get().to_be_bytes())
}

pub(super) fn go_away(last: u32, code: ErrorCode) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.get().to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// The owner of a session: it records the calls.
#[derive(Default)]
pub(super) struct Owner {
    pub(super) calls: RefCell<Vec<&'static str>>,
    /// The exchanges that are not expected to be done when the owner is called.
    pub(super) watched: RefCell<Vec<Rc<Exchange>>>,
}

impl Owner {
    fn record(&self, call: &'static str) {
        self.calls.borrow_mut().push(call);
        let mut watched = self.watched.borrow_mut();
        let done = watched.iter().any(|exchange| exchange.is_done());
        assert!(
            !done || call != "available",
            "an exchange was done before {call}"
        );
        watched.clear();
    }

    pub(super) fn calls(&self) -> String {
        self.calls
            .borrow_mut()
            .drain(..)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl SessionOwner for Owner {
    fn available(&self, keep_alive: Option<Duration>) {
        assert_eq!(keep_alive, None);
        self.record("available");
    }

    fn retired(&self) {
        self.record("retired");
    }

    fn closed(&self) {
        self.record("closed");
    }
}

/// The server side of a connection.
pub(super) struct Peer {
    socket: Option<UnixStream>,
    codec: h2::Connection<()>,
    input: BytesMut,
    head: RequestHead,
    /// The events that were not taken.
    seen: Vec<String>,
    /// `true` to open the windows for received bodies.
    pub(super) credits: bool,
    /// Number of received body bytes.
    pub(super) received: usize,
    /// Number of sent bytes.
    pub(super) sent: usize,
    pub(super) is_closed: bool,
    /// The stream of the last piece of a body.
    last: Option<StreamKey>,
    /// Number of acknowledgements of PING frames that were sent.
    pings: usize,
}

impl Peer {
    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        settle();
        self.send_only(bytes);
        settle();
    }

    fn send_only(&mut self, bytes: impl AsRef<[u8]>) {
        let mut bytes = bytes.as_ref();
        let start = Instant::now();
        let socket = self.socket.as_mut().expect("the connection is open");
        while !bytes.is_empty() {
            match socket.write(bytes) {
                Ok(count) => {
                    self.sent += count;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == IoErrorKind::WouldBlock => {
                    assert!(start.elapsed() < TIMEOUT, "the client does not read");
                    settle();
                }
                Err(error) => panic!("sending failed: {error}"),
            }
        }
    }

    /// Sends bytes without reading, in place of the codec.
    pub(super) fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.send_only(bytes);
        settle();
    }

    /// Sends bytes until the client has closed the connection. Returns the number of bytes sent.
    pub(super) fn send_until_closed(&mut self, bytes: &[u8]) -> usize {
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < TIMEOUT {
            settle();
            self.receive_quietly();
            let socket = self.socket.as_mut().expect("the connection is open");
            match socket.write(bytes) {
                Ok(count) if count == bytes.len() => sent += count,
                // Frames must not be cut.
                Ok(count) => {
                    sent += bytes.len();
                    let rest = bytes[count..].to_vec();
                    if self.is_closed {
                        return sent;
                    }
                    self.send_rest(&rest);
                }
                Err(error) if error.kind() == IoErrorKind::WouldBlock => {}
                Err(_) => return sent,
            }
            if self.is_closed {
                return sent;
            }
        }
        panic!("the client did not close the connection");
    }

    fn send_rest(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() && !self.is_closed {
            settle();
            self.receive_quietly();
            let socket = self.socket.as_mut().expect("the connection is open");
            match socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == IoErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Returns the events since the last call.
    pub(super) fn events(&mut self) -> String {
        settle();
        self.receive_quietly();
        settle();
        self.receive_quietly();
        self.seen.drain(..).collect::<Vec<_>>().join(", ")
    }

    /// Receives what has arrived.
    fn receive_quietly(&mut self) {
        let Some(mut socket) = self.socket.take() else {
            return;
        };
        let mut end = None;
        let mut buffer = vec![0; 65_536];
        loop {
            match socket.read(&mut buffer) {
                Ok(0) => {
                    end = Some("closed");
                    break;
                }
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == IoErrorKind::WouldBlock => break,
                Err(_) => {
                    end = Some("reset");
                    break;
                }
            }
        }
        while let Some(event) =
            self.codec
                .receive(&mut self.input, &mut self.head, Duration::from_secs(1))
        {
            self.record(event);
        }
        self.socket = Some(socket);
        if let Some(end) = end
            && !std::mem::replace(&mut self.is_closed, true)
        {
            self.seen.push(end.to_owned());
        }
        let mut out = Vec::new();
        self.codec.write_control(&mut out);
        if !out.is_empty() && !self.is_closed {
            let ping = frame(PING, 1, 0, &[0; 8]);
            self.pings += out.windows(ping.len()).filter(|part| *part == ping).count();
            self.send_only(out);
        }
    }

    fn record(&mut self, event: Event) {
        let ends = |end: bool| if end { " end" } else { "" };
        match event {
            Event::Request { stream, end } => {
                self.codec.accept(stream, ());
                let text = String::from_utf8_lossy(self.head.as_bytes()).into_owned();
                let text = text.trim_end().replace("\r\n", " | ");
                self.seen
                    .push(format!("{} {text}{}", stream.id(), ends(end)));
            }
            Event::Data { stream, bytes, end } => {
                self.received += bytes.len();
                self.codec
                    .consumed(stream, if self.credits { bytes.len() } else { 0 });
                self.last = Some(stream);
                let text = match bytes.len() {
                    0..=40 => String::from_utf8_lossy(&bytes).into_owned(),
                    count => format!("{count} bytes"),
                };
                self.seen
                    .push(format!("{} data {text}{}", stream.id(), ends(end)));
            }
            Event::Trailers { stream, trailers } => {
                let fields = trailers
                    .fields()
                    .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
                let fields: Vec<_> = fields.collect();
                self.seen
                    .push(format!("{} trailers {}", stream.id(), fields.join(" | ")));
            }
            Event::Reset { stream, code } => {
                self.codec.remove(stream);
                self.seen.push(format!("{} reset {code}", stream.id()));
            }
            Event::GoAway { code, .. } => self.seen.push(format!("go away {code}")),
            Event::WindowOpened => {}
            Event::Closed(error) => self.seen.push(format!("failed {error}")),
            other => self.seen.push(format!("{other:?}")),
        }
    }

    /// Opens the windows for all bodies, and for the body of the last piece at once.
    pub(super) fn open_windows(&mut self) {
        self.credits = true;
        if let Some(stream) = self.last {
            self.codec.consumed(stream, usize::MAX);
        }
    }

    /// Returns the socket, which the test uses from then on.
    pub(super) fn take_socket(&mut self) -> UnixStream {
        self.socket.take().expect("the connection is open")
    }

    /// Returns the number of PING frames that were received since the last call. They are acknowledged.
    pub(super) fn pings(&mut self) -> usize {
        self.pings = 0;
        self.events();
        self.pings
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        settle();
        self.socket = None;
        settle();
    }

    /// Half-closes the connection.
    pub(super) fn end(&mut self) {
        settle();
        let socket = self.socket.as_ref().expect("the connection is open");
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        settle();
    }

    /// Closes the connection with a reset.
    pub(super) fn abort(&mut self) {
        settle();
        let socket = self.socket.take().expect("the connection is open");
        set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
        drop(socket);
        settle();
    }
}

/// A session and its server.
pub(super) struct Fixture {
    pub(super) session: Rc<Http2Session>,
    pub(super) conn: Connection,
    pub(super) owner: Rc<Owner>,
    pub(super) peer: Peer,
}

impl Fixture {
    /// Creates a session whose server has sent its settings.
    pub(super) fn new() -> Fixture {
        Fixture::with(&Limits::default())
    }

    pub(super) fn with(limits: &Limits) -> Fixture {
        let mut fixture = Fixture::silent(limits);
        assert_eq!(fixture.peer.events(), "");
        fixture
    }

    /// Creates a session whose server has sent nothing.
    pub(super) fn silent(limits: &Limits) -> Fixture {
        // A Unix socket delivers bytes at once.
        let (client, socket) = UnixStream::pair().unwrap();
        Fixture::over(client, socket, limits)
    }

    /// Creates a session over TCP.
    pub(super) fn tcp() -> Fixture {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        Fixture::over(client, OwnedFd::from(socket).into(), &Limits::default())
    }

    fn over(client: impl Into<OwnedFd>, socket: UnixStream, limits: &Limits) -> Fixture {
        socket.set_nonblocking(true).unwrap();
        let conn = Connection::adopt(client).unwrap();
        let owner = Rc::<Owner>::default();
        let session = Http2Session::new(conn, Rc::<Owner>::clone(&owner), 65_536);
        Fixture {
            session,
            conn,
            owner,
            peer: Peer {
                socket: Some(socket),
                codec: h2::Connection::server(limits),
                input: BytesMut::new(),
                head: RequestHead::default(),
                seen: Vec::new(),
                credits: true,
                received: 0,
                sent: 0,
                is_closed: false,
                pings: 0,
                last: None,
            },
        }
    }

    /// Starts a GET request.
    #[track_caller]
    pub(super) fn get(&self) -> Rc<Exchange> {
        self.begin(&Method::GET, OutgoingBody::Empty, settings())
    }

    #[track_caller]
    pub(super) fn post(&self, body: OutgoingBody) -> Rc<Exchange> {
        self.begin(&Method::POST, body, settings())
    }

    #[track_caller]
    pub(super) fn begin(
        &self,
        method: &Method,
        body: OutgoingBody,
        settings: ExchangeSettings,
    ) -> Rc<Exchange> {
        self.session.begin(request(method, body, settings)).unwrap()
    }

    /// Starts a GET request, and answers it with `bytes`, which are for stream 1.
    #[track_caller]
    pub(super) fn answered(bytes: impl AsRef<[u8]>) -> (Fixture, Rc<Exchange>) {
        let mut fixture = Fixture::new();
        let exchange = fixture.get();
        fixture.peer.events();
        fixture.peer.send(bytes);
        (fixture, exchange)
    }
}

pub(super) fn request<'a>(
    method: &'a Method,
    body: OutgoingBody,
    settings: ExchangeSettings,
) -> OutgoingRequest<'a> {
    OutgoingRequest {
        method,
        scheme: "http",
        target: "/path",
        host: "a.example",
        fields: &[],
        body,
        close: false,
        upgrade: false,
        settings,
    }
}

pub(super) fn fields(list: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
    list.iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

/// Returns settings without timeouts.
pub(super) fn settings() -> ExchangeSettings {
    ExchangeSettings {
        write_timeout: None,
        first_byte_timeout: None,
        read_timeout: None,
        max_head: 65_536,
        max_body: None,
        read_ahead: 262_144,
    }
}

pub(super) fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Returns the head of a response that has arrived.
#[track_caller]
pub(super) fn response_head(exchange: &Exchange) -> ResponseHead {
    match exchange.poll_head(&context()) {
        Poll::Ready(Ok(head)) => head,
        other => panic!("no head: {other:?}"),
    }
}

/// Returns the outcome of an exchange that is done: the status and the body, or the kind of the failure.
#[track_caller]
pub(super) fn outcome(exchange: &Exchange) -> Result<(u16, Bytes), ErrorKind> {
    assert!(exchange.is_done(), "the exchange is not done");
    let status = match exchange.poll_head(&context()) {
        Poll::Ready(Ok(head)) => head.status().as_u16(),
        _ => 0,
    };
    match exchange.poll_collected(&context()) {
        Poll::Ready(Ok(body)) => Ok((status, body)),
        Poll::Ready(Err(failure)) => Err(failure.kind),
        Poll::Pending => panic!("the exchange is pending"),
    }
}

#[track_caller]
pub(super) fn failure(exchange: &Exchange) -> Failure {
    assert!(exchange.is_done(), "the exchange is not done");
    match exchange.poll_collected(&context()) {
        Poll::Ready(Err(failure)) => failure,
        other => panic!("the exchange did not fail: {other:?}"),
    }
}

pub(super) fn ok(status: u16, body: &'static str) -> Result<(u16, Bytes), ErrorKind> {
    Ok((status, Bytes::from_static(body.as_bytes())))
}
