//! Helpers for server tests: a loop with a timeout, plain TCP clients and event logs.
#![allow(dead_code, reason = "each test program uses only a part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::fmt::{Debug, Display, Write as _};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Once;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_http::HttpServer;

/// Maximum time of a wait.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a server on a free port.
pub(crate) fn server() -> HttpServer {
    install_recorder();
    HttpServer::bind("127.0.0.1:0").unwrap()
}

/// Installs a loop with a manual clock on this thread.
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
        assert!(
            start.elapsed() < TIMEOUT,
            "the condition did not become true in time"
        );
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Runs enough iterations to process everything that is ready now.
pub(crate) fn settle() {
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Runs the loop until it has no more work.
pub(crate) fn run_until_idle() {
    let start = Instant::now();
    let event_loop = EventLoop::current();
    while event_loop.is_alive() {
        assert!(start.elapsed() < TIMEOUT, "the loop still has work");
        event_loop.run_once(Some(Duration::from_millis(5))).unwrap();
    }
}

pub(crate) fn socket_address(http: HttpServer) -> SocketAddr {
    http.address().unwrap()["tcp://".len()..].parse().unwrap()
}

/// A log of events, in order. A clone refers to the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Returns the entries, separated by spaces.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

/// A client on the thread of the loop, which runs while the client waits.
pub(crate) struct Client {
    stream: TcpStream,
    /// Received bytes that have not been returned yet.
    received: Vec<u8>,
    ended: bool,
}

impl Client {
    pub(crate) fn new(http: HttpServer) -> Self {
        Client::of(&http.address().unwrap())
    }

    /// Connects to a listener, such as `tcp://127.0.0.1:8080`.
    pub(crate) fn of(address: &str) -> Self {
        let stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
        stream.set_nonblocking(true).unwrap();
        Client {
            stream,
            received: Vec::new(),
            ended: false,
        }
    }

    /// Sets the size of the kernel's receive buffer.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        SockRef::from(&self.stream)
            .set_recv_buffer_size(bytes)
            .unwrap();
    }

    /// Sends text completely.
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

    /// Half-closes the connection.
    pub(crate) fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        let linger = Some(Duration::ZERO);
        SockRef::from(&self.stream).set_linger(linger).unwrap();
    }

    /// Sends until the server stops reading. Returns the number of bytes sent.
    pub(crate) fn fill(&mut self) -> usize {
        let (mut sent, mut blocked) = (0, 0);
        while blocked < 20 {
            match self.stream.write(&[b'.'; 64 * 1024]) {
                Ok(count) => {
                    sent += count;
                    blocked = 0;
                }
                Err(_) => blocked += 1,
            }
            settle();
        }
        sent
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
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    self.ended = true;
                }
            }
            return;
        }
    }

    /// Reads exactly `count` bytes from the socket.
    #[track_caller]
    pub(crate) fn read_exactly(&mut self, count: usize) {
        let mut left = count;
        run_until(|| {
            let mut buffer = vec![0; left];
            if let Ok(count) = self.stream.read(&mut buffer) {
                self.received.extend_from_slice(&buffer[..count]);
                left -= count;
            }
            left == 0
        });
    }

    /// Returns the bytes received by now.
    pub(crate) fn take_received(&mut self) -> String {
        settle();
        self.read_available();
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    /// Returns whether the server has closed the connection and all bytes were returned.
    pub(crate) fn is_closed(&mut self) -> bool {
        settle();
        self.read_available();
        self.ended && self.received.is_empty()
    }

    /// Receives one response.
    #[track_caller]
    pub(crate) fn response(&mut self) -> ClientResponse {
        let mut response = None;
        run_until(|| {
            self.read_available();
            response = ClientResponse::take(&mut self.received, self.ended);
            response.is_some() || self.ended
        });
        response.unwrap()
    }

    /// Reads until the connection is closed.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        run_until(|| {
            self.read_available();
            self.ended
        });
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}

/// A received response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientResponse {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl ClientResponse {
    fn take(received: &mut Vec<u8>, ended: bool) -> Option<ClientResponse> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        let response = |body: &[u8]| ClientResponse {
            head: head.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let lower = head.to_ascii_lowercase();
        if let Some((_, length)) = lower.split_once("content-length: ") {
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let body = received.get(end..end + length)?.to_vec();
            received.drain(..end + length);
            return Some(response(&body));
        }
        if lower.contains("transfer-encoding: chunked") {
            let (body, taken) = chunks(&received[end..])?;
            received.drain(..end + taken);
            return Some(response(&body));
        }
        let bodiless = ["HTTP/1.1 1", "HTTP/1.1 204", "HTTP/1.1 304"];
        if bodiless.iter().any(|start| head.starts_with(start)) {
            received.drain(..end);
            return Some(response(b""));
        }
        ended.then(|| {
            let body = received.split_off(end);
            received.clear();
            response(&body)
        })
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Decodes a complete chunked body. Returns the body and the number of encoded bytes.
fn chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (all, mut body) = (bytes.len(), Vec::new());
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        bytes = &bytes[end + 2..];
        let chunk = bytes.get(..size + 2)?;
        assert_eq!(&chunk[size..], b"\r\n");
        body.extend_from_slice(&chunk[..size]);
        bytes = &bytes[size + 2..];
        if size == 0 {
            return Some((body, all - bytes.len()));
        }
    }
}

/// Runs a client on another thread while the loop runs.
#[track_caller]
pub(crate) fn run_on_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let client: JoinHandle<R> = thread::spawn(f);
    run_until(|| client.is_finished());
    client.join().unwrap()
}

/// Returns a request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// Returns a request with a body of a known length.
pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
}

thread_local! {
    /// The log lines of this thread, while they are captured.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs `f` and returns the log lines of this thread: level, message and fields.
pub(crate) fn capture_logs(f: impl FnOnce()) -> Vec<String> {
    install_recorder();
    LINES.replace(Some(Vec::new()));
    f();
    LINES.take().unwrap_or_default()
}

/// Installs the recorder for all threads before the first log line. A callsite that is first reached without a subscriber, while another thread
/// installs one, may stay disabled.
fn install_recorder() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

struct Recorder;

impl tracing::Subscriber for Recorder {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                let _ = match field.name() {
                    "message" => write!(self.0, " {value:?}"),
                    name => write!(self.0, " {name}={value:?}"),
                };
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        LINES.with_borrow_mut(|lines| lines.as_mut().map(|lines| lines.push(text.0)));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
