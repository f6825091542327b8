//! Invariants of a server for any input: it does not panic; it sends valid responses, in the order of the requests, and none after a refused
//! request; the division of the input does not change the responses; and a closed connection leaves no resources behind.
//!
//! The loop has a scripted poller and a manual clock, so no test waits, and an endless wait fails.

use std::convert::Infallible;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::SendFlags;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, Readiness, ScriptedPoller, ScriptedWait, sleep};
use uptick_http::h1::{Decoder, Event, Limits};
use uptick_http::{HttpError, HttpServer, Method, Next, Request, Response};
use uptick_socket::Connection;

/// The header with the name of the request.
const REQUEST_HEADER: &str = "x-to";

/// Length of the longest response body.
const LONG_BODY: usize = 70_000;

/// Maximum number of buffered bytes for a client that does not read: the soft limit, and the response that exceeds it.
const MAX_BUFFERED: usize = 64 * 1024 + LONG_BODY + 1024;

/// Number of iterations without progress after which the server is considered idle.
const IDLE_ITERATIONS: usize = 8;

thread_local! {
    static SERVER: TestServer = TestServer::new();
}

/// Checks the invariants for `input`, whole, in pieces of `size` bytes and in single bytes.
pub(crate) fn check(input: &[u8], size: usize) {
    SERVER.with(|server| {
        let expected = Expected::of(input);
        let whole = expected.parse(&server.run_client([input], ReadTiming::Immediate));
        expected.assert_responses(&whole);
        let size = size.max(1);
        for (size, timing) in [
            (size, ReadTiming::Immediate),
            (size, ReadTiming::Late),
            (1, ReadTiming::Immediate),
        ] {
            if input.len() / size <= 512 {
                let received = server.run_client(input.chunks(size), timing);
                assert_eq!(expected.parse(&received), whole, "{size} {timing:?}");
            }
        }
    });
}

/// The time at which the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadTiming {
    Immediate,
    /// Only when it cannot send any more.
    Late,
}

/// A response without its date, with the decoded body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ParsedResponse {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl ParsedResponse {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
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
        // Without timeouts, the server waits only for the client.
        let http = HttpServer::new()
            .first_byte_timeout(None)
            .head_timeout(None)
            .idle_timeout(None)
            .response_timeout(None)
            .body_rate(0, Duration::ZERO)
            .body_limit(500);
        add_routes(http);
        TestServer {
            event_loop,
            poller,
            http,
        }
    }

    /// Returns the bytes received by a client that sends these pieces and half-closes.
    fn run_client<'a>(
        &self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        timing: ReadTiming,
    ) -> Vec<u8> {
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
            client.send(piece, timing);
        }
        let received = client.finish();
        assert_eq!(self.http.open_connections(), before);
        received
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
    fn send(&mut self, mut piece: &[u8], timing: ReadTiming) {
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
            if timing == ReadTiming::Immediate || blocked > IDLE_ITERATIONS {
                self.read();
            }
            self.run_once(Duration::from_millis(u64::from(blocked > 0)));
        }
        if timing == ReadTiming::Immediate {
            self.run_once(Duration::ZERO);
            self.read();
        }
    }

    /// Half-closes the connection after the pending responses, and returns all received bytes.
    fn finish(mut self) -> Vec<u8> {
        self.settle(Duration::from_millis(1));
        // The server may have closed already.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        for _ in 0..100 {
            self.settle(Duration::ZERO);
            if !self.conn.is_open() && self.ended {
                let sent = rustix::net::send(&self.socket, b"?", SendFlags::NOSIGNAL);
                assert_eq!(sent, Err(Errno::PIPE), "the server's end is still open");
                return self.received;
            }
            self.push_readiness();
            self.server.event_loop.run_once(None).unwrap();
        }
        panic!("the connection is still open");
    }

    /// Runs the loop until it makes no progress.
    fn settle(&mut self, time: Duration) {
        let mut idle = 0;
        while idle < IDLE_ITERATIONS {
            let before = (self.received.len(), self.conn.bytes_read());
            self.run_once(time);
            self.read();
            let after = (self.received.len(), self.conn.bytes_read());
            idle = if before == after { idle + 1 } else { 0 };
        }
    }

    fn run_once(&self, time: Duration) {
        self.push_readiness();
        self.server.event_loop.run_once(Some(time)).unwrap();
        if !time.is_zero() {
            self.server.event_loop.run_once(Some(time)).unwrap();
        }
        assert!(self.conn.buffered() <= MAX_BUFFERED);
    }

    /// Reports the socket as readable and writable.
    fn push_readiness(&self) {
        let ready = Readiness::READABLE.union(Readiness::WRITABLE);
        self.server
            .poller
            .push(ScriptedWait::Ready(vec![(self.fd, ready)]));
    }

    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        loop {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
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

/// Adds routes with all kinds of responses.
fn add_routes(http: HttpServer) {
    http.wrap(|request: Request, next: Next| {
        let to = name_of(request.method(), request.target());
        next.run(request)
            .map(move |response| response.header(REQUEST_HEADER, to))
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
    http.any("/long", |_: Request| Bytes::from_static(&[b'x'; LONG_BODY]));
    http.any("/stream", |_: Request| {
        let pieces = (0..3).map(|n| Ok::<_, Infallible>(format!("piece {n}\n")));
        Response::plain(uptick_http::BodyStream::new(futures::stream::iter(pieces)))
    });
    http.any("/empty", |_: Request| uptick_http::StatusCode::NO_CONTENT);
    http.any("/listen", |req: Request| {
        let responder = req.responder();
        // Responses sent by a responder do not pass through the middleware.
        let to = name_of(req.method(), req.target());
        let mut body = Vec::new();
        req.on("data", move |piece: Bytes| body.extend_from_slice(&piece));
        req.on("end", move |()| {
            responder.send(Response::plain("heard").header(REQUEST_HEADER, to.as_str()))
        });
        req.on("error", move |error: uptick_http::BodyError| {
            responder.send(HttpError::from(error))
        });
    });
    http.get("/items/{id}", |req: Request| {
        req.param("id").unwrap_or_default().to_owned()
    });
}

/// Returns the name of a request, in characters that are allowed in a header.
fn name_of(method: &Method, target: &str) -> String {
    format!("{method} {}", target.escape_default())
}

/// The result of decoding the input.
struct Expected {
    requests: Vec<(String, Vec<u8>)>,
    /// `true` if an error follows the requests.
    refused: bool,
    /// `true` if the last request is complete.
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
                // An error in a body may follow after the response was sent.
                Event::Error(_) => expected.refused = expected.complete,
            }
        }
        expected
    }

    /// Checks that these are the responses to the requests.
    fn assert_responses(&self, responses: &[ParsedResponse]) {
        let mut named = 0;
        for (index, response) in responses.iter().enumerate() {
            let last = index + 1 == responses.len();
            let Some(to) = response.field(REQUEST_HEADER) else {
                // The response to a malformed request or body.
                assert!(
                    last && response.status >= 400,
                    "{response:?} of {responses:?}"
                );
                assert_eq!(response.field("connection"), Some("close"), "{response:?}");
                continue;
            };
            let (name, body) = self
                .requests
                .get(index)
                .unwrap_or_else(|| panic!("{response:?} has no request"));
            assert_eq!(to, name);
            if response.status == 200 && name.ends_with(" /echo") && !name.starts_with("HEAD") {
                assert_eq!(&response.body, body);
            }
            named += 1;
            let closes = response.field("connection") == Some("close");
            assert!(last || !closes, "responses follow {response:?}");
        }
        assert!(named <= self.requests.len());
        let closed = responses
            .last()
            .is_some_and(|last| last.field("connection") == Some("close"));
        if !closed {
            // The connection was not closed early, so all requests have a response.
            let whole = self.requests.len() - usize::from(!self.complete);
            assert!(responses.len() >= whole, "{responses:?}");
            assert!(!self.refused, "the error has no response: {responses:?}");
        }
    }

    /// Parses the bytes sent by the server strictly, as a client that knows its requests.
    fn parse(&self, mut bytes: &[u8]) -> Vec<ParsedResponse> {
        let mut responses = Vec::new();
        while !bytes.is_empty() {
            let end = position(bytes, b"\r\n\r\n").expect("the head has no end");
            let head = str::from_utf8(&bytes[..end]).expect("the head is not text");
            bytes = &bytes[end + 4..];
            let mut lines = head.split("\r\n");
            let status = status_of(lines.next().unwrap_or_default());
            let mut fields = Vec::new();
            for line in lines {
                let (name, value) = line.split_once(": ").expect("a field has no colon");
                assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
                assert!(value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 127)));
                fields.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            let mut response = ParsedResponse {
                status,
                fields,
                body: Vec::new(),
            };
            let request = self.requests.get(responses.len());
            let to_head = request.is_some_and(|(name, _)| name.starts_with("HEAD "));
            let length = response.field("content-length").map(str::to_owned);
            let chunked = response.field("transfer-encoding").map(str::to_owned);
            assert!(length.is_none() || chunked.is_none(), "{response:?}");
            if matches!(status, 100..200 | 204 | 304) || to_head {
                assert!(status >= 200 || status == 100, "{response:?}");
            } else if let Some(length) = length {
                let body;
                (body, bytes) = bytes.split_at(length.parse().expect("the length is not a number"));
                response.body = body.to_vec();
            } else if let Some(chunked) = chunked {
                assert_eq!(chunked, "chunked");
                (response.body, bytes) = unchunk(bytes);
            } else {
                response.body = std::mem::take(&mut bytes).to_vec();
            }
            if status >= 200 {
                response.fields.retain(|(name, _)| name != "date");
                responses.push(response);
            }
        }
        responses
    }
}

fn status_of(line: &str) -> u16 {
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .expect("the status line is malformed");
    let (status, _) = rest
        .split_once(' ')
        .expect("the status line has no space before the reason");
    assert_eq!(status.len(), 3, "{line}");
    status.parse().expect("the status is not a number")
}

/// Decodes a chunked body. Returns the body and the remaining bytes.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = position(bytes, b"\r\n").expect("a chunk has no size line");
        let size = str::from_utf8(&bytes[..end]).expect("a chunk size is not text");
        let size = usize::from_str_radix(size, 16).expect("a chunk size is not a number");
        let (chunk, rest) = bytes[end + 2..].split_at(size);
        body.extend_from_slice(chunk);
        bytes = rest
            .strip_prefix(b"\r\n")
            .expect("a chunk has no line break");
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
