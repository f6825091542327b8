//! Shared test support: a loop with a time limit, and a client that writes raw frames.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_http::HttpServer;
use uptick_websocket::protocol::frame::{self, Flags, Opcode};
use uptick_websocket::protocol::{CloseFrame, Decoder, Event, Inflater, Limits, Role, close};
use uptick_websocket::{Closed, Message, WebSocket};

/// Time limit of a test step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The masking key of the client's frames.
const MASK: [u8; 4] = [1, 2, 3, 4];

/// Installs a loop with a manual clock on this thread.
pub(crate) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// Runs the loop until the condition holds.
#[track_caller]
pub(crate) fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "timed out after {TIMEOUT:?}");
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Runs enough iterations of the loop for everything that is ready.
pub(crate) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Advances the clock in small steps, and runs the loop after each.
pub(crate) fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

/// A record of events, in order; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    /// The entries so far, separated by spaces.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(" ")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Records all events of a WebSocket.
    pub(crate) fn listen(&self, ws: WebSocket) {
        let log = self.clone();
        ws.on("message", move |message: Message| match message {
            Message::Text(text) => log.add(text),
            Message::Binary(bytes) => log.add(format_args!("{bytes:?}")),
        });
        let log = self.clone();
        ws.on("close", move |closed: Closed| log.add(show(&closed)));
        let log = self.clone();
        ws.on("error", move |error: uptick_websocket::Error| {
            log.add(format_args!("error({error})"));
        });
    }
}

/// Returns the fields in the form `1000:bye:clean`.
pub(crate) fn show(closed: &Closed) -> String {
    let clean = if closed.clean { "clean" } else { "unclean" };
    format!("{}:{}:{clean}", closed.code.as_u16(), closed.reason)
}

pub(crate) fn server() -> HttpServer {
    HttpServer::bind("127.0.0.1:0").unwrap()
}

/// A client on the thread of the loop, which runs the loop while it waits.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
    inflater: Inflater,
    /// The head of the server's response.
    pub(crate) head: String,
    ended: bool,
}

impl Client {
    /// Opens a WebSocket.
    #[track_caller]
    pub(crate) fn open(http: HttpServer, path: &str) -> Self {
        let client = Client::request(http, path, "");
        assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
        client
    }

    /// Sends a handshake request with additional headers, and reads the head of the response.
    #[track_caller]
    pub(crate) fn request(http: HttpServer, path: &str, fields: &str) -> Self {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        );
        Client::send_request(http, &head)
    }

    /// Sends a request, and reads the head of the response.
    #[track_caller]
    pub(crate) fn send_request(http: HttpServer, request: &str) -> Self {
        Client::send_bytes(http, request.as_bytes())
    }

    /// Sends bytes, and reads the head of the response.
    #[track_caller]
    pub(crate) fn send_bytes(http: HttpServer, request: &[u8]) -> Self {
        let address = http.address().unwrap();
        let stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut client = Client {
            stream,
            decoder: Decoder::new(Role::Client)
                .compressed(memchr::memmem::find(request, b"deflate").is_some()),
            inflater: Inflater::new(),
            head: String::new(),
            ended: false,
        };
        client.write(request);
        client.read_head();
        client
    }

    #[track_caller]
    fn read_head(&mut self) {
        let mut head = Vec::new();
        run_until(|| {
            let mut byte = [0];
            // One byte at a time, so that the frames after the head are not consumed.
            while !head.ends_with(b"\r\n\r\n") && matches!(self.stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            head.ends_with(b"\r\n\r\n")
        });
        self.head = String::from_utf8(head).unwrap();
    }

    /// Writes bytes, and runs the loop until all are written.
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        run_until(|| {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            rest.is_empty()
        });
    }

    /// Sends a frame.
    #[track_caller]
    pub(crate) fn frame(&mut self, opcode: Opcode, flags: Flags, payload: impl AsRef<[u8]>) {
        self.write(framed(opcode, flags, payload));
    }

    /// Sends a text.
    #[track_caller]
    pub(crate) fn text(&mut self, text: &str) {
        self.frame(Opcode::Text, Flags::FIN, text);
    }

    /// Sends a close frame.
    #[track_caller]
    pub(crate) fn close(&mut self, frame: Option<CloseFrame>) {
        let mut out = Vec::new();
        close::append(&mut out, frame.as_ref(), Some(MASK));
        self.write(out);
    }

    fn next(&mut self) -> Option<Event> {
        let limits = Limits::default().message(64 << 20);
        self.decoder.next(&limits, Some(&mut self.inflater))
    }

    fn read_available(&mut self) {
        let mut buffer = vec![0; 1 << 20];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.decoder.push(BytesMut::from(&buffer[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }

    /// Returns the next event; `None` if the connection has ended.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut event = self.next();
        run_until(|| {
            if event.is_none() {
                self.read_available();
                event = self.next();
            }
            event.is_some() || self.ended
        });
        event
    }

    /// Returns the next message, which must be text.
    #[track_caller]
    pub(crate) fn message(&mut self) -> String {
        let event = self.event();
        match event {
            Some(Event::Message(Message::Text(text))) => text.to_string(),
            other => panic!("expected a text, received {other:?}"),
        }
    }

    /// Returns the code of the next event, which must be a close frame; 1005 if it has none.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> u16 {
        let event = self.event();
        match event {
            Some(Event::Close(close)) => close.map_or(1005, |frame| frame.code.as_u16()),
            other => panic!("expected a close frame, received {other:?}"),
        }
    }

    /// Runs the loop, and returns the events received so far.
    pub(crate) fn settle_and_read(&mut self) -> Vec<Event> {
        settle();
        self.read_events()
    }

    /// Returns the events received so far, without running the loop.
    pub(crate) fn read_events(&mut self) -> Vec<Event> {
        self.read_available();
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Returns `true` if the server has ended the connection.
    #[track_caller]
    pub(crate) fn is_closed(&mut self) -> bool {
        settle();
        // Bytes sent before the end may have to be read first.
        self.read_available();
        self.read_available();
        self.ended
    }
}

/// Returns a masked frame.
pub(crate) fn framed(opcode: Opcode, flags: Flags, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(&mut out, opcode, flags, Some(MASK), payload.as_ref());
    out
}
