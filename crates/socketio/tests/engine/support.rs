//! An event loop with a timeout, an engine that records its events, and clients that write requests and frames by hand.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use uptick_emitter::Emitter;
use uptick_event_loop::{
    EventLoop, Interest, ManualClock, MioPoller, Poller, Readiness, Token, Trigger, Wake,
};
use uptick_http::HttpServer;
use uptick_socketio::engine::{Client, CloseReason, EngineIo, EngineOptions, Transport};
use uptick_websocket::Message;
use uptick_websocket::protocol::frame::{self, Flags, Opcode};
use uptick_websocket::protocol::{CloseFrame, Decoder, Event, Limits, Role, close};

/// Maximum time to wait for an expected result.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Mask of the frames of the client.
const MASK: [u8; 4] = [1, 2, 3, 4];

pub(crate) const PATH: &str = "/engine.io/";

/// Installs an event loop with a manual clock.
pub(crate) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// Installs an event loop whose clock advances during the next wait by the duration in the cell.
pub(crate) fn clock_that_moves_in_waits() -> (ManualClock, Rc<Cell<Duration>>) {
    let (clock, by) = (ManualClock::new(), Rc::<Cell<Duration>>::default());
    let poller = MovingPoller {
        inner: MioPoller::new().unwrap(),
        clock: clock.clone(),
        by: Rc::clone(&by),
    };
    EventLoop::install(poller, clock.clone()).unwrap();
    (clock, by)
}

struct MovingPoller {
    inner: MioPoller,
    clock: ManualClock,
    by: Rc<Cell<Duration>>,
}

impl Poller for MovingPoller {
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.inner.watch(fd, token, interest, trigger)
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.inner.change(fd, token, interest, trigger)
    }

    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.inner.forget(fd)
    }

    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.clock.advance(self.by.take());
        self.inner.wait(events, timeout)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.inner.waker()
    }
}

/// Runs iterations until `done` returns `true`.
#[track_caller]
pub(crate) fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "timed out");
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Runs enough iterations to handle everything that is ready.
pub(crate) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Advances the clock, and handles everything that is due.
pub(crate) fn pass(clock: &ManualClock, time: Duration) {
    clock.advance(time);
    settle();
}

/// A log of events in order. Clones share the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    /// Removes and returns all entries, separated by spaces.
    pub(crate) fn take(&self) -> String {
        self.0.take().join(" ")
    }

    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

/// An engine at a path of a server, with the log of its events and its clients.
pub(crate) struct Fixture {
    pub(crate) http: HttpServer,
    pub(crate) engine: EngineIo,
    pub(crate) log: Log,
    pub(crate) clients: Rc<RefCell<Vec<Client>>>,
}

/// The default heartbeat, for tests on the real clock.
pub(crate) fn options() -> EngineOptions {
    EngineOptions::new().max_payload(1000)
}

/// A fast heartbeat, for tests on the manual clock.
pub(crate) fn fast_heartbeat() -> EngineOptions {
    options()
        .ping_interval(Duration::from_millis(300))
        .ping_timeout(Duration::from_millis(200))
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(options())
    }

    pub(crate) fn with(options: EngineOptions) -> Fixture {
        let http = HttpServer::bind("127.0.0.1:0").unwrap();
        let engine = EngineIo::with_options(options);
        http.mount(PATH, &engine);
        let fixture = Fixture {
            http,
            engine,
            log: Log::default(),
            clients: Rc::default(),
        };
        let (log, clients) = (fixture.log.clone(), Rc::clone(&fixture.clients));
        engine.on("connection", move |client: Client| {
            clients.borrow_mut().push(client);
            record(&log, client);
        });
        fixture
    }

    /// Returns the client that connected last.
    pub(crate) fn client(&self) -> Client {
        *self.clients.borrow().last().unwrap()
    }

    /// Waits for the end of the last session, and returns the log.
    #[track_caller]
    pub(crate) fn ended(&self) -> String {
        let client = self.client();
        run_until(|| client.transport().is_none());
        self.log.take()
    }

    /// Opens an HTTP connection.
    pub(crate) fn connect(&self) -> Http {
        Http::new(self.http)
    }

    /// Opens a session over polling.
    #[track_caller]
    pub(crate) fn open(&self) -> Http {
        let mut http = self.connect();
        http.handshake();
        http
    }

    /// Opens a WebSocket.
    #[track_caller]
    pub(crate) fn websocket(&self, query: &str) -> Ws {
        Ws::open(self.http, query)
    }

    /// Opens a session over a WebSocket.
    #[track_caller]
    pub(crate) fn open_websocket(&self) -> (Ws, String) {
        let mut ws = self.websocket("EIO=4&transport=websocket");
        let sid = sid_of(&ws.text());
        (ws, sid)
    }
}

/// Records the events of a client.
fn record(log: &Log, client: Client) {
    log.add("connection");
    let entries = log.clone();
    client.on("message", move |message: Message| match message {
        Message::Text(text) => entries.add(text.as_str()),
        Message::Binary(bytes) => entries.add(format_args!("{:?}", &bytes[..])),
    });
    let entries = log.clone();
    client.on("drain", move |()| entries.add("(drain)"));
    let entries = log.clone();
    client.on(Client::HEARTBEAT, move |()| entries.add("(heartbeat)"));
    let entries = log.clone();
    client.on("upgrade", move |transport: Transport| {
        entries.add(format_args!("(upgrade:{})", transport.name()));
    });
    let entries = log.clone();
    client.on("close", move |reason: CloseReason| {
        entries.add(format_args!("(close:{reason})"));
    });
}

/// Returns the session id from an open packet.
#[track_caller]
pub(crate) fn sid_of(packet: &str) -> String {
    let json = packet.strip_prefix('0').expect(packet);
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    json["sid"].as_str().unwrap().to_owned()
}

/// A received response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    fn take(received: &mut Vec<u8>) -> Option<HttpResponse> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        let length = length.unwrap_or(0);
        let body = received.get(end..end + length)?.to_vec();
        received.drain(..end + length);
        Some(HttpResponse {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: String::from_utf8_lossy(&body).replace('\u{1e}', "|"),
        })
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the response as `200 body`.
    pub(crate) fn show(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

/// An HTTP client on the same thread as the event loop, which it runs while it waits.
pub(crate) struct Http {
    stream: TcpStream,
    received: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) sid: String,
}

impl Http {
    fn new(http: HttpServer) -> Http {
        Http::at(&http.address().unwrap())
    }

    /// Connects to an address such as `tcp://127.0.0.1:8080`.
    pub(crate) fn at(address: &str) -> Http {
        let stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Http {
            stream,
            received: Vec::new(),
            ended: false,
            sid: String::new(),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, text: impl AsRef<[u8]>) {
        let mut rest = text.as_ref();
        run_until(|| {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            rest.is_empty()
        });
    }

    fn read_available(&mut self) {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.ended = true,
            }
            return;
        }
    }

    /// Waits for the next response.
    #[track_caller]
    pub(crate) fn response(&mut self) -> HttpResponse {
        let mut response = None;
        run_until(|| {
            self.read_available();
            response = HttpResponse::take(&mut self.received);
            response.is_some() || self.ended
        });
        response.expect("a response before the end of the connection")
    }

    /// Returns the response if it has already been received.
    pub(crate) fn received_response(&mut self) -> Option<HttpResponse> {
        settle();
        self.read_available();
        HttpResponse::take(&mut self.received)
    }

    /// Waits until the server closes the connection.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        run_until(|| {
            self.read_available();
            self.ended
        });
    }

    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, query: &str, fields: &str) -> HttpResponse {
        self.send(format!(
            "{method} {PATH}?{query} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"
        ));
        self.response()
    }

    #[track_caller]
    pub(crate) fn get(&mut self, query: &str) -> HttpResponse {
        self.request("GET", query, "")
    }

    /// Sends a poll.
    #[track_caller]
    pub(crate) fn begin_poll(&mut self) {
        let sid = self.sid.clone();
        self.send(format!(
            "GET {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: test\r\n\r\n"
        ));
    }

    /// Sends a poll, and returns the response as `200 body`.
    #[track_caller]
    pub(crate) fn poll(&mut self) -> String {
        self.begin_poll();
        self.response().show()
    }

    /// Sends a POST request with a given Content-Length.
    #[track_caller]
    pub(crate) fn begin_post(&mut self, length: usize, body: &str) {
        let sid = self.sid.clone();
        self.send(format!(
            "POST {PATH}?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// Sends packets, separated by `|`, in a POST request, and returns the response as `200 ok`.
    #[track_caller]
    pub(crate) fn post(&mut self, packets: &str) -> String {
        let body = packets.replace('|', "\u{1e}");
        self.begin_post(body.len(), &body);
        self.response().show()
    }

    /// Opens a session over polling.
    #[track_caller]
    pub(crate) fn handshake(&mut self) {
        let response = self.get("EIO=4&transport=polling");
        assert_eq!(response.status, 200, "{response:?}");
        self.sid = sid_of(&response.body);
    }

    /// Opens another connection for the same session.
    pub(crate) fn another_connection(&self, fixture: &Fixture) -> Http {
        let mut http = fixture.connect();
        http.sid = self.sid.clone();
        http
    }
}

/// A WebSocket client on the same thread as the event loop.
pub(crate) struct Ws {
    http: Http,
    decoder: Decoder,
}

impl Ws {
    #[track_caller]
    fn open(http: HttpServer, query: &str) -> Ws {
        Ws::over(Http::new(http), query)
    }

    /// Opens a WebSocket over a connection.
    #[track_caller]
    pub(crate) fn over(mut http: Http, query: &str) -> Ws {
        let response = http.request("GET", query, UPGRADE);
        assert_eq!(response.status, 101, "{response:?}");
        let mut decoder = Decoder::new(Role::Client);
        decoder.push(BytesMut::from(&*std::mem::take(&mut http.received)));
        Ws { http, decoder }
    }

    #[track_caller]
    pub(crate) fn frame(&mut self, opcode: Opcode, payload: impl AsRef<[u8]>) {
        let mut out = Vec::new();
        frame::append(&mut out, opcode, Flags::FIN, Some(MASK), payload.as_ref());
        self.http.send(out);
    }

    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.frame(Opcode::Text, text);
    }

    #[track_caller]
    pub(crate) fn close(&mut self) {
        let mut out = Vec::new();
        close::append(&mut out, None::<&CloseFrame>, Some(MASK));
        self.http.send(out);
    }

    fn next(&mut self) -> Option<Event> {
        self.http.read_available();
        let received = std::mem::take(&mut self.http.received);
        if !received.is_empty() {
            self.decoder.push(BytesMut::from(&received[..]));
        }
        self.decoder
            .next(&Limits::default().message(64 << 20), None)
    }

    /// Waits for the next event; `None` at the end of the connection.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut event = None;
        run_until(|| {
            event = self.next();
            event.is_some() || self.http.ended
        });
        event
    }

    /// Waits for the next message, which must be text.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        match self.event() {
            Some(Event::Message(Message::Text(text))) => text.to_string(),
            other => panic!("no text but {other:?}"),
        }
    }

    /// Waits for a close frame, and returns its code; 1005 if it has none.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> u16 {
        match self.event() {
            Some(Event::Close(frame)) => frame.map_or(1005, |frame| frame.code.as_u16()),
            other => panic!("no close but {other:?}"),
        }
    }

    /// Returns the events received so remote.
    pub(crate) fn received_events(&mut self) -> Vec<Event> {
        settle();
        std::iter::from_fn(|| self.next()).collect()
    }
}

pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
