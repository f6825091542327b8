//! What the tests share: a loop that cannot hang, and a client that writes frames by hand.
#![allow(dead_code, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic and say why")]

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

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// The mask of the client's frames.
const MASK: [u8; 4] = [1, 2, 3, 4];

/// Gives this thread a loop whose clock the test moves.
pub(crate) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// Runs iterations until the condition holds.
#[track_caller]
pub(crate) fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Runs as many iterations as anything needs that is ready now.
pub(crate) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Moves the clock on in small steps, as it would move by itself.
pub(crate) fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

/// What happened, in order; clones are the same record.
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

    /// Records all events of a WebSocket, under a name.
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

/// `1000:bye:clean`
pub(crate) fn show(closed: &Closed) -> String {
    let clean = if closed.clean { "clean" } else { "unclean" };
    format!("{}:{}:{clean}", closed.code.as_u16(), closed.reason)
}

pub(crate) fn server() -> HttpServer {
    HttpServer::bind("127.0.0.1:0").unwrap()
}

/// A client on the loop's own thread, which is turned while the client waits.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    decoder: Decoder,
    inflater: Inflater,
    /// The head of the server's answer.
    pub(crate) head: String,
    ended: bool,
}

impl Client {
    /// Opens a WebSocket.
    #[track_caller]
    pub(crate) fn open(http: HttpServer, path: &str) -> Self {
        let client = Client::ask(http, path, "");
        assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
        client
    }

    /// Asks for a WebSocket with further fields.
    #[track_caller]
    pub(crate) fn ask(http: HttpServer, path: &str, fields: &str) -> Self {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
        );
        Client::plain(http, &head)
    }

    /// Sends a request as it is, and reads the head of the answer.
    #[track_caller]
    pub(crate) fn plain(http: HttpServer, request: &str) -> Self {
        Client::raw(http, request.as_bytes())
    }

    /// Sends bytes as they are, and reads the head of the answer.
    #[track_caller]
    pub(crate) fn raw(http: HttpServer, request: &[u8]) -> Self {
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
        let mut came = Vec::new();
        run_until(|| {
            let mut byte = [0];
            // Byte by byte, so that frames behind the head stay where they are.
            while !came.ends_with(b"\r\n\r\n") && matches!(self.stream.read(&mut byte), Ok(1)) {
                came.push(byte[0]);
            }
            came.ends_with(b"\r\n\r\n")
        });
        self.head = String::from_utf8(came).unwrap();
    }

    /// Writes bytes as they are, however long it takes.
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

    /// Sends a close.
    #[track_caller]
    pub(crate) fn close(&mut self, says: Option<CloseFrame>) {
        let mut out = Vec::new();
        close::append(&mut out, says.as_ref(), Some(MASK));
        self.write(out);
    }

    fn next(&mut self) -> Option<Event> {
        let limits = Limits::default().message(64 << 20);
        self.decoder.next(&limits, Some(&mut self.inflater))
    }

    fn look(&mut self) {
        let mut buffer = vec![0; 1 << 20];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.decoder.push(BytesMut::from(&buffer[..count])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }

    /// The next thing that the server sends; none if the connection has ended.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Option<Event> {
        let mut event = self.next();
        run_until(|| {
            if event.is_none() {
                self.look();
                event = self.next();
            }
            event.is_some() || self.ended
        });
        event
    }

    /// The next message, which is a text.
    #[track_caller]
    pub(crate) fn message(&mut self) -> String {
        let event = self.event();
        match event {
            Some(Event::Message(Message::Text(text))) => text.to_string(),
            other => panic!("no text but {other:?}"),
        }
    }

    /// The code of the next event, which is a close; 1005 if it says nothing.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> u16 {
        let event = self.event();
        match event {
            Some(Event::Close(says)) => says.map_or(1005, |frame| frame.code.as_u16()),
            other => panic!("no close but {other:?}"),
        }
    }

    /// What the server has sent by now and was not asked for yet.
    pub(crate) fn so_far(&mut self) -> Vec<Event> {
        settle();
        self.came()
    }

    /// The same, without a turn of the loop.
    pub(crate) fn came(&mut self) -> Vec<Event> {
        self.look();
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Whether the server has ended the connection.
    #[track_caller]
    pub(crate) fn is_over(&mut self) -> bool {
        settle();
        // What was sent before the end may be there, too.
        self.look();
        self.look();
        self.ended
    }
}

/// A client's frame.
pub(crate) fn framed(opcode: Opcode, flags: Flags, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(&mut out, opcode, flags, Some(MASK), payload.as_ref());
    out
}
