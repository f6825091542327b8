//! What is true of a server whatever comes, in whatever pieces: nothing panics, what it sends are answers, in the order of
//! the requests, none to what follows a request that is refused, the same however the bytes were cut, and nothing is left of
//! a connection that is over.
//!
//! The loop has a scripted poller and a clock of its own: nothing here waits, and whatever would wait for ever fails.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, Readiness, ScriptedPoller, Step, sleep};
use uptick_http::h1::{Decoder, Event, Limits};
use uptick_http::{HttpError, HttpServer, Method, Next, Request, Response};
use uptick_socket::Connection;

/// The field in which answers name the request that they are to.
const TO: &str = "x-to";

/// The longest of the bodies that the server sends.
const LONG: usize = 70_000;

/// What the server keeps for a client that does not read: the soft limit of its queue, and the answer that crosses it.
const MOST_BUFFERED: usize = 64 * 1024 + LONG + 1024;

/// How many iterations without any progress mean that the server waits.
const IDLE: usize = 8;

thread_local! {
    static WORLD: World = World::new();
}

/// Checks all that has to be true of what a server answers to `input`, in pieces of `size` bytes and in other ones.
pub(crate) fn check(input: &[u8], size: usize) {
    WORLD.with(|world| {
        let expected = Expected::of(input);
        let whole = expected.parse(&world.answers([input], Reading::AtOnce));
        expected.assert_met(&whole);
        let size = size.max(1);
        for (size, reading) in [
            (size, Reading::AtOnce),
            (size, Reading::Late),
            (1, Reading::AtOnce),
        ] {
            if input.len() / size <= 512 {
                let came = world.answers(input.chunks(size), reading);
                assert_eq!(expected.parse(&came), whole, "{size} {reading:?}");
            }
        }
    });
}

/// When the client reads what the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    AtOnce,
    /// Only when it can send nothing more.
    Late,
}

/// An answer without its date, with the body as it was before it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A server on a loop that stands still unless it is turned.
struct World {
    event_loop: EventLoop,
    poller: ScriptedPoller,
    http: HttpServer,
}

impl World {
    fn new() -> World {
        let clock = ManualClock::new();
        let poller = ScriptedPoller::new(&clock);
        let event_loop = EventLoop::install(poller.clone(), clock).unwrap();
        // Without limits of time the server waits only for what the client still has to send.
        let http = HttpServer::new()
            .first_octet_timeout(None)
            .head_timeout(None)
            .idle_timeout(None)
            .answer_timeout(None)
            .body_rate(0, Duration::ZERO)
            .body_limit(500);
        add_routes(http);
        World {
            event_loop,
            poller,
            http,
        }
    }

    /// What a client that sends these pieces and then no more is answered.
    fn answers<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>, reading: Reading) -> Vec<u8> {
        let before = self.http.open_connections();
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let fd = other.as_raw_fd();
        let conn = Connection::adopt(other).unwrap();
        self.http.serve(conn);
        let mut client = Client {
            world: self,
            socket,
            fd,
            conn,
            came: Vec::new(),
            ended: false,
        };
        for piece in pieces {
            client.send(piece, reading);
        }
        let came = client.finish();
        assert_eq!(self.http.open_connections(), before);
        came
    }
}

struct Client<'a> {
    world: &'a World,
    socket: UnixStream,
    /// The server's end.
    fd: RawFd,
    conn: Connection,
    came: Vec<u8>,
    ended: bool,
}

impl Client<'_> {
    fn send(&mut self, mut piece: &[u8], reading: Reading) {
        let mut blocked = 0;
        while !piece.is_empty() {
            match rustix::net::send(&self.socket, piece, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    piece = &piece[count..];
                    blocked = 0;
                }
                Err(Errno::AGAIN) => blocked += 1,
                // It does not want any more.
                Err(_) => return,
            }
            assert!(blocked < 1000, "the server takes nothing more");
            if reading == Reading::AtOnce || blocked > IDLE {
                self.read();
            }
            self.turn(Duration::from_millis(u64::from(blocked > 0)));
        }
        if reading == Reading::AtOnce {
            self.turn(Duration::ZERO);
            self.read();
        }
    }

    /// Ends the client's side once it has all that is answered without that; gives everything that came.
    fn finish(mut self) -> Vec<u8> {
        self.settle(Duration::from_millis(1));
        // The server may have closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        for _ in 0..100 {
            self.settle(Duration::ZERO);
            if !self.conn.is_open() && self.ended {
                let sent = rustix::net::send(&self.socket, b"?", SendFlags::NOSIGNAL);
                assert_eq!(sent, Err(Errno::PIPE), "the server's end is still there");
                return self.came;
            }
            self.step();
            self.world.event_loop.run_once(None).unwrap();
        }
        panic!("the connection is still open");
    }

    /// Turns the loop for as long as anything happens.
    fn settle(&mut self, time: Duration) {
        let mut idle = 0;
        while idle < IDLE {
            let before = (self.came.len(), self.conn.bytes_read());
            self.turn(time);
            self.read();
            let after = (self.came.len(), self.conn.bytes_read());
            idle = if before == after { idle + 1 } else { 0 };
        }
    }

    fn turn(&self, time: Duration) {
        self.step();
        self.world.event_loop.run_once(Some(time)).unwrap();
        if !time.is_zero() {
            self.world.event_loop.run_once(Some(time)).unwrap();
        }
        assert!(self.conn.buffered() <= MOST_BUFFERED);
    }

    /// Both ways are always ready, as far as the server is told.
    fn step(&self) {
        let ready = Readiness::READABLE.union(Readiness::WRITABLE);
        self.world.poller.push(Step::Ready(vec![(self.fd, ready)]));
    }

    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.came.extend_from_slice(&buffer[..count]);
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::CONNRESET) => self.ended = true,
                Err(error) => panic!("reading failed: {error}"),
            }
            return;
        }
    }
}

/// Answers of every kind.
fn add_routes(http: HttpServer) {
    http.wrap(|request: Request, next: Next| {
        let to = name_of(request.method(), request.target());
        next.run(request)
            .map(move |response| response.header(TO, to))
    });
    http.any("/", |_: Request| "whole");
    http.any("/echo", |req: Request| async move {
        Ok::<_, HttpError>(req.bytes(1000).await?)
    });
    http.any("/text", |req: Request| async move { req.text().await });
    http.any("/later", |_: Request| async move {
        sleep(Duration::from_millis(1)).await;
        "later"
    });
    http.any("/long", |_: Request| Bytes::from_static(&[b'x'; LONG]));
    http.any("/stream", |_: Request| {
        let pieces = (0..3).map(|n| Ok::<_, Infallible>(format!("piece {n}\n")));
        Response::plain(uptick_http::BodyStream::new(futures::stream::iter(pieces)))
    });
    http.any("/empty", |_: Request| uptick_http::StatusCode::NO_CONTENT);
    http.any("/listen", |req: Request| {
        let responder = req.responder();
        // What the responder answers passes middlewares by.
        let to = name_of(req.method(), req.target());
        let mut body = Vec::new();
        req.on("data", move |piece: Bytes| body.extend_from_slice(&piece));
        req.on("end", move |()| {
            responder.send(Response::plain("heard").header(TO, to.as_str()))
        });
        req.on("error", move |error: uptick_http::BodyError| {
            responder.send(HttpError::from(error))
        });
    });
    http.get("/items/{id}", |req: Request| {
        req.param("id").unwrap_or_default().to_owned()
    });
}

/// A request, in characters that a field can have.
fn name_of(method: &Method, target: &str) -> String {
    format!("{method} {}", target.escape_default())
}

/// What the codec finds in the input: the names and bodies of the requests, and whether an error ends them.
struct Expected {
    requests: Vec<(String, Vec<u8>)>,
    /// What follows them is no request.
    refused: bool,
    /// Whether the last request has come whole.
    complete: bool,
}

impl Expected {
    fn of(input: &[u8]) -> Expected {
        let mut decoder = Decoder::new();
        decoder.push(Bytes::copy_from_slice(input));
        let mut expected = Expected {
            requests: Vec::new(),
            refused: false,
            complete: true,
        };
        while let Some(event) = decoder.next(&Limits::default()) {
            match event {
                Event::Head(head) => {
                    let name = name_of(head.method(), head.target());
                    expected.requests.push((name, Vec::new()));
                    expected.complete = false;
                }
                Event::Body(piece) => {
                    let last = expected.requests.last_mut().unwrap();
                    last.1.extend_from_slice(&piece);
                }
                Event::Trailers(_) => {}
                Event::Complete => expected.complete = true,
                // In a body it may come when the answer is already sent.
                Event::Error(_) => expected.refused = expected.complete,
            }
        }
        expected
    }

    /// Checks that these are the answers to the requests.
    fn assert_met(&self, answers: &[Answer]) {
        let mut named = 0;
        for (index, answer) in answers.iter().enumerate() {
            let last = index + 1 == answers.len();
            let Some(to) = answer.field(TO) else {
                // What is no request, or has a body that is none.
                assert!(last && answer.status >= 400, "{answer:?} of {answers:?}");
                assert_eq!(answer.field("connection"), Some("close"), "{answer:?}");
                continue;
            };
            let (name, body) = self
                .requests
                .get(index)
                .unwrap_or_else(|| panic!("{answer:?} is to nothing"));
            assert_eq!(to, name);
            if answer.status == 200 && name.ends_with(" /echo") && !name.starts_with("HEAD") {
                assert_eq!(&answer.body, body);
            }
            named += 1;
            let closes = answer.field("connection") == Some("close");
            assert!(last || !closes, "answers follow {answer:?}");
        }
        assert!(named <= self.requests.len());
        let closed = answers
            .last()
            .is_some_and(|last| last.field("connection") == Some("close"));
        if !closed {
            // Nothing has ended the connection before its time, so everything was answered.
            let whole = self.requests.len() - usize::from(!self.complete);
            assert!(answers.len() >= whole, "{answers:?}");
            assert!(!self.refused, "an error is not answered: {answers:?}");
        }
    }

    /// Takes what a server has sent apart, as a strict client would that knows what it has asked for.
    fn parse(&self, mut bytes: &[u8]) -> Vec<Answer> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let end = position(bytes, b"\r\n\r\n").expect("a head without its end");
            let head = str::from_utf8(&bytes[..end]).expect("a head that is not text");
            bytes = &bytes[end + 4..];
            let mut lines = head.split("\r\n");
            let status = status_of(lines.next().unwrap_or_default());
            let mut fields = Vec::new();
            for line in lines {
                let (name, value) = line.split_once(": ").expect("a field without a colon");
                assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
                assert!(value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 127)));
                fields.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            let mut answer = Answer {
                status,
                fields,
                body: Vec::new(),
            };
            let request = self.requests.get(answers.len());
            let to_head = request.is_some_and(|(name, _)| name.starts_with("HEAD "));
            let length = answer.field("content-length").map(str::to_owned);
            let chunked = answer.field("transfer-encoding").map(str::to_owned);
            assert!(length.is_none() || chunked.is_none(), "{answer:?}");
            if matches!(status, 100..200 | 204 | 304) || to_head {
                assert!(status >= 200 || status == 100, "{answer:?}");
            } else if let Some(length) = length {
                let body;
                (body, bytes) = bytes.split_at(length.parse().expect("no length"));
                answer.body = body.to_vec();
            } else if let Some(chunked) = chunked {
                assert_eq!(chunked, "chunked");
                (answer.body, bytes) = unchunk(bytes);
            } else {
                answer.body = std::mem::take(&mut bytes).to_vec();
            }
            if status >= 200 {
                answer.fields.retain(|(name, _)| name != "date");
                answers.push(answer);
            }
        }
        answers
    }
}

fn status_of(line: &str) -> u16 {
    let rest = line.strip_prefix("HTTP/1.1 ").expect("no status line");
    let (status, _) = rest
        .split_once(' ')
        .expect("no reason, not even an empty one");
    assert_eq!(status.len(), 3, "{line}");
    status.parse().expect("a status is a number")
}

/// The body in a chunked message, and what follows.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = position(bytes, b"\r\n").expect("a chunk without its line");
        let size = str::from_utf8(&bytes[..end]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).expect("a size is a number");
        let (chunk, rest) = bytes[end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        bytes = rest.strip_prefix(b"\r\n").expect("a chunk without its end");
        if size == 0 {
            return (body, bytes);
        }
    }
}

fn position(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
