//! Invariants of HTTP/2 connections for any input: the server does not panic; it sends valid frames; the division of the input does not
//! change the responses; and a closed connection leaves no resources behind.
//!
//! The loop has a scripted poller and a manual clock, so no test waits.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, Readiness, ScriptedPoller, ScriptedWait, sleep};
use uptick_http::h2::hpack::{Decoded, Decoder, Encoder, Field, Indexing, ListLimits};
use uptick_http::{BodyError, BodyStream, HttpError, HttpServer, Request, Response};
use uptick_socket::Connection;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Number of iterations without progress after which the server is considered idle.
const IDLE_ITERATIONS: usize = 8;

/// Maximum number of bytes in the write queue of a connection: the soft limit, and the frames that exceed it.
const MAX_BUFFERED: usize = 512 * 1024;

thread_local! {
    static SERVER: TestServer = TestServer::new();
}

/// Checks the invariants for bytes after the preface, whole, in pieces of `size` bytes and in single bytes.
///
/// The order of a handler and a later frame depends on the division. So a response may be missing in one of the runs, or end early.
pub(crate) fn check(input: &[u8], size: usize) {
    for_each_division(input, size, |whole, divided| {
        whole.assert_compatible(divided)
    });
}

/// Checks the invariants for requests without errors and resets: all responses are the same.
pub(crate) fn check_valid(input: &[u8], size: usize) {
    for_each_division(input, size, |whole, divided| {
        assert_eq!(whole, divided);
        assert_eq!(whole.error, None);
        assert!(
            whole.streams.values().all(|response| response.ended),
            "{whole:?}"
        );
    });
}

fn for_each_division(input: &[u8], size: usize, check: impl Fn(&Outcome, &Outcome)) {
    let input = [PREFACE, input].concat();
    SERVER.with(|server| {
        let whole = server.run_client([&input[..]]);
        for size in [size.max(1), 1] {
            if input.len() / size <= 1024 {
                check(&whole, &server.run_client(input.chunks(size)));
            }
        }
    });
}

/// A response without its date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Received {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    ended: bool,
    reset: Option<u32>,
}

/// The frames sent by the server.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    streams: BTreeMap<u32, Received>,
    /// The code of a GOAWAY frame, unless it is `NO_ERROR`.
    error: Option<u32>,
}

impl Outcome {
    /// Parses frames strictly.
    fn parse(mut bytes: &[u8]) -> Outcome {
        let mut outcome = Outcome {
            streams: BTreeMap::new(),
            error: None,
        };
        let mut decoder = Decoder::new(4096);
        let mut block: Option<(u32, u8, Vec<u8>)> = None;
        let mut is_first = true;
        while let Some((start, rest)) = bytes.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, start[0], start[1], start[2]]) as usize;
            let stream = u32::from_be_bytes([start[5], start[6], start[7], start[8]]);
            assert!(rest.len() >= length, "the last frame is incomplete");
            let (payload, rest) = rest.split_at(length);
            bytes = rest;
            let (kind, flags) = (start[3], start[4]);
            assert!(!is_first || kind == 4, "the first frame is not SETTINGS");
            is_first = false;
            assert!(
                block.is_none() || kind == 9,
                "a header block is interrupted"
            );
            match kind {
                0 => outcome.data(stream, payload, flags & 1 != 0),
                1 => block = Some((stream, flags, payload.to_vec())),
                9 => {
                    let (_, all, bytes) = block.as_mut().expect("CONTINUATION follows HEADERS");
                    *all |= flags;
                    bytes.extend_from_slice(payload);
                }
                3 => {
                    let received = outcome.streams.entry(stream).or_default();
                    assert_eq!(received.reset, None, "stream {stream} is reset twice");
                    received.reset = Some(word(payload));
                }
                7 => outcome.error = Some(word(&payload[4..])).filter(|code| *code != 0),
                4 | 6 | 8 => {}
                _ => panic!("a frame of type {kind} was sent"),
            }
            if let Some((stream, flags, bytes)) = block.take_if(|(_, flags, _)| *flags & 4 != 0) {
                outcome.head(stream, fields_of(&mut decoder, &bytes), flags & 1 != 0);
            }
        }
        assert!(
            bytes.is_empty() && block.is_none(),
            "the last frame is incomplete"
        );
        outcome
    }

    fn data(&mut self, stream: u32, payload: &[u8], end: bool) {
        let received = self.streams.get_mut(&stream).expect("DATA follows HEADERS");
        assert!(!received.ended && received.reset.is_none(), "{received:?}");
        received.body.extend_from_slice(payload);
        received.ended = end;
    }

    fn head(&mut self, stream: u32, mut fields: Vec<(Vec<u8>, Vec<u8>)>, end: bool) {
        let received = self.streams.entry(stream).or_default();
        assert!(!received.ended && received.reset.is_none(), "{received:?}");
        for (name, value) in &fields {
            assert!(!name.iter().any(u8::is_ascii_uppercase), "{name:?}");
            assert!(!value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
        }
        fields.retain(|(name, _)| name != b"date");
        let status = fields.first().filter(|(name, _)| name == b":status");
        let is_interim = status.is_some_and(|(_, value)| value.starts_with(b"1"));
        match status {
            Some(_) if is_interim => assert!(received.fields.is_empty() && !end),
            Some(_) => {
                assert!(received.fields.is_empty(), "{received:?}");
                received.fields = fields;
            }
            None => {
                assert!(!received.fields.is_empty() && end, "{received:?}");
                received.trailers = Some(fields);
            }
        }
        received.ended = end;
    }

    /// Checks that responses of both runs are the same, as far as they were sent.
    fn assert_compatible(&self, other: &Outcome) {
        for (stream, one) in &self.streams {
            let Some(two) = other.streams.get(stream) else {
                continue;
            };
            if one.fields.is_empty() || two.fields.is_empty() {
                continue;
            }
            let is_late = |received: &Received| {
                // The end of the input may precede the end of a body in one of the runs.
                received
                    .fields
                    .iter()
                    .any(|(name, value)| name == b":status" && value[0] != b'2')
            };
            if is_late(one) || is_late(two) {
                continue;
            }
            assert_eq!(one.fields, two.fields, "{stream}");
            let common = one.body.len().min(two.body.len());
            assert_eq!(one.body[..common], two.body[..common], "{stream}");
            if one.ended && two.ended {
                assert_eq!(one.body, two.body, "{stream}");
            }
        }
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
        .expect("a frame is too short")
}

fn fields_of(decoder: &mut Decoder, block: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let limits = ListLimits {
        fields: 1000,
        bytes: 1 << 20,
    };
    let mut fields = Vec::new();
    let mut collect = |field: Field<'_>| fields.push((field.name.to_vec(), field.value.to_vec()));
    let decoded = decoder.decode(block, limits, &mut collect);
    assert_eq!(
        decoded.expect("a header block is not valid"),
        Decoded::Complete
    );
    fields
}

/// A server on a loop that is run step by step.
struct TestServer {
    event_loop: EventLoop,
    poller: ScriptedPoller,
    http: HttpServer,
}

impl TestServer {
    fn new() -> TestServer {
        let clock = ManualClock::new();
        let poller = ScriptedPoller::new(&clock);
        let event_loop = EventLoop::install(poller.clone(), clock).unwrap();
        let http = HttpServer::new()
            .first_byte_timeout(None)
            .head_timeout(None)
            .idle_timeout(None)
            .response_timeout(None)
            .body_rate(0, Duration::ZERO);
        add_routes(http);
        TestServer {
            event_loop,
            poller,
            http,
        }
    }

    /// Returns what a client receives that sends these pieces and half-closes.
    fn run_client<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let before = self.http.open_connections();
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let fd = other.as_raw_fd();
        let conn = Connection::adopt(other).unwrap();
        self.http.serve(conn);
        let mut client = Client {
            server: self,
            socket,
            fd,
            conn,
            received: Vec::new(),
            ended: false,
        };
        for piece in pieces {
            client.send(piece);
        }
        let received = client.finish();
        assert_eq!(self.http.open_connections(), before);
        assert_eq!(self.http.open_upgrades(), 0);
        Outcome::parse(&received)
    }
}

struct Client<'a> {
    server: &'a TestServer,
    socket: UnixStream,
    /// The descriptor of the server's end.
    fd: RawFd,
    conn: Connection,
    received: Vec<u8>,
    ended: bool,
}

impl Client<'_> {
    fn send(&mut self, mut piece: &[u8]) {
        let mut blocked = 0;
        while !piece.is_empty() {
            match rustix::net::send(&self.socket, piece, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    piece = &piece[count..];
                    blocked = 0;
                }
                Err(Errno::AGAIN) => blocked += 1,
                // The server has closed the connection.
                Err(_) => return,
            }
            assert!(blocked < 1000, "the server has stopped reading");
            self.read();
            self.run_once(Some(Duration::from_millis(u64::from(blocked > 0))));
        }
    }

    /// Half-closes the connection after the pending responses, and returns all received bytes.
    fn finish(mut self) -> Vec<u8> {
        self.settle();
        // The server may have closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        for _ in 0..200 {
            self.settle();
            if !self.conn.is_open() && self.ended {
                return self.received;
            }
            // Waits for the next deadline.
            self.run_once(None);
        }
        panic!("the connection is still open");
    }

    /// Runs the loop until it makes no progress.
    fn settle(&mut self) {
        let mut idle = 0;
        while idle < IDLE_ITERATIONS {
            let before = (self.received.len(), self.conn.bytes_read());
            self.run_once(Some(Duration::from_millis(1)));
            self.read();
            let after = (self.received.len(), self.conn.bytes_read());
            idle = if before == after { idle + 1 } else { 0 };
        }
    }

    fn run_once(&self, time: Option<Duration>) {
        let ready = Readiness::READABLE.union(Readiness::WRITABLE);
        let poller = &self.server.poller;
        poller.push(ScriptedWait::Ready(vec![(self.fd, ready)]));
        self.server.event_loop.run_once(time).unwrap();
        if time != Some(Duration::ZERO) {
            self.server.event_loop.run_once(time).unwrap();
        }
        assert!(self.conn.buffered() <= MAX_BUFFERED);
    }

    fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) | Err(Errno::CONNRESET) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(error) => panic!("reading failed: {error}"),
            }
            return;
        }
    }
}

/// The paths of the routes, and others.
pub(crate) const PATHS: &[&str] = &[
    "/", "/echo", "/later", "/long", "/stream", "/empty", "/listen", "/nothing",
];

/// Adds routes with all kinds of responses.
fn add_routes(http: HttpServer) {
    http.any("/", |_: Request| "whole");
    http.any("/echo", |req: Request| async move {
        Ok::<_, HttpError>(req.bytes(10_000).await?)
    });
    http.any("/later", |_: Request| async move {
        sleep(Duration::from_millis(1)).await;
        "later"
    });
    http.any("/long", |_: Request| Bytes::from_static(&[b'x'; 70_000]));
    http.any("/stream", |_: Request| {
        let pieces = (0..3).map(|n| Ok::<_, Infallible>(format!("piece {n}\n")));
        Response::plain(BodyStream::new(futures::stream::iter(pieces)))
    });
    http.any("/empty", |_: Request| uptick_http::StatusCode::NO_CONTENT);
    http.any("/listen", |req: Request| {
        let responder = req.responder();
        req.on("data", |_: Bytes| {});
        req.on("end", move |()| responder.send("heard"));
        req.on("error", move |error: BodyError| {
            responder.send(HttpError::from(error))
        });
    });
    http.get("/channel", |_: Request| {
        Response::upgrade_channel("echo", |channel| channel.end())
    });
}

/// Returns a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Returns the head of a request.
pub(crate) fn request(stream: u32, method: &str, path: &str, end: bool) -> Vec<u8> {
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut block);
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "h"),
    ];
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        encoder.field(name, value, Indexing::Without, &mut block);
    }
    if path == "/channel" {
        encoder.field(b":protocol", b"echo", Indexing::Without, &mut block);
    }
    frame(1, 4 | u8::from(end), stream, &block)
}

/// Converts any bytes into frames, of which most are valid.
pub(crate) fn frames_of(script: &[u8]) -> Vec<u8> {
    let mut input = frame(4, 0, 0, &[]);
    let mut next = 1;
    for step in script.chunks(4) {
        let [kind, a, b, c] = [0, 1, 2, 3].map(|n| step.get(n).copied().unwrap_or_default());
        let stream = (u32::from(a) % next.max(2)) | 1;
        let number = u32::from_be_bytes([0, 0, b, c]);
        match kind % 16 {
            0..=3 => {
                let path = PATHS[usize::from(a) % PATHS.len()];
                let (method, end) = [
                    ("GET", true),
                    ("POST", false),
                    ("HEAD", true),
                    ("PUT", true),
                ][usize::from(b) % 4];
                input.extend(request(next, method, path, end));
                next += 2;
            }
            4..=6 => input.extend(frame(0, c & 1, stream, &vec![b; usize::from(c) * 16])),
            7 => input.extend(frame(3, 0, stream, &u32::from(b).to_be_bytes())),
            8 => input.extend(frame(
                8,
                0,
                stream & u32::from(c),
                &(number + 1).to_be_bytes(),
            )),
            9 => {
                let setting = [0, a % 8, 0, 0, b, c];
                input.extend(frame(4, 0, 0, &setting));
            }
            10 => input.extend(frame(6, b & 1, 0, &[c; 8])),
            11 => {
                input.extend(request(next, "CONNECT", "/channel", false));
                next += 2;
            }
            12 => input.extend(frame(
                16,
                0,
                0,
                &[&stream.to_be_bytes()[..], b"u=1,i"].concat(),
            )),
            13 => input.extend(frame(a % 18, b, stream, &[c; 8])),
            14 => input.extend(frame(1, 5, stream, &[0, 1, b'x', 1, b])),
            _ => input.extend_from_slice(step),
        }
    }
    input
}
