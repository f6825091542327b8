//! What the tests of the server share: a loop that cannot hang, plain clients, records of what happened.
#![allow(dead_code, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic and say why")]

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

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a free port.
pub(crate) fn server() -> HttpServer {
    install_recorder();
    HttpServer::bind("127.0.0.1:0").unwrap()
}

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

/// Runs the loop until nothing is left.
pub(crate) fn run_to_the_end() {
    let start = Instant::now();
    let event_loop = EventLoop::current();
    while event_loop.is_alive() {
        assert!(start.elapsed() < PATIENCE, "something is left");
        event_loop.run_once(Some(Duration::from_millis(5))).unwrap();
    }
}

pub(crate) fn socket_address(http: HttpServer) -> SocketAddr {
    http.address().unwrap()["tcp://".len()..].parse().unwrap()
}

/// What happened, in order; clones are the same record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The entries so far, separated by spaces.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}

/// A client on the loop's own thread, which is turned while the client waits.
pub(crate) struct Client {
    stream: TcpStream,
    /// What has come and was not asked for yet.
    came: Vec<u8>,
    ended: bool,
}

impl Client {
    pub(crate) fn new(http: HttpServer) -> Self {
        Client::of(&http.address().unwrap())
    }

    /// A client of a listener, `tcp://127.0.0.1:8080`.
    pub(crate) fn of(address: &str) -> Self {
        let stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
        stream.set_nonblocking(true).unwrap();
        Client {
            stream,
            came: Vec::new(),
            ended: false,
        }
    }

    /// Sets how many bytes wait in its kernel at most.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        SockRef::from(&self.stream)
            .set_recv_buffer_size(bytes)
            .unwrap();
    }

    /// Sends text, however long it takes.
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

    /// Tells the server that no more will come.
    pub(crate) fn end(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes so that the server sees a reset.
    pub(crate) fn reset(self) {
        let linger = Some(Duration::ZERO);
        SockRef::from(&self.stream).set_linger(linger).unwrap();
    }

    /// Sends as much as the server takes; gives how much that was.
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

    fn look(&mut self) {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.came.extend_from_slice(&buffer[..count]);
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

    /// Reads so many bytes, and leaves what comes behind them where it is.
    #[track_caller]
    pub(crate) fn sip(&mut self, count: usize) {
        let mut left = count;
        run_until(|| {
            let mut buffer = vec![0; left];
            if let Ok(count) = self.stream.read(&mut buffer) {
                self.came.extend_from_slice(&buffer[..count]);
                left -= count;
            }
            left == 0
        });
    }

    /// What has come by now.
    pub(crate) fn so_far(&mut self) -> String {
        settle();
        self.look();
        String::from_utf8_lossy(&std::mem::take(&mut self.came)).into_owned()
    }

    /// Whether the server has ended the connection, and nothing is left to read.
    pub(crate) fn is_over(&mut self) -> bool {
        settle();
        self.look();
        self.ended && self.came.is_empty()
    }

    /// One answer: its status line, its fields and its body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = None;
        run_until(|| {
            self.look();
            answer = Answer::take(&mut self.came, self.ended);
            answer.is_some() || self.ended
        });
        answer.unwrap()
    }

    /// Reads to the end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        run_until(|| {
            self.look();
            self.ended
        });
        String::from_utf8_lossy(&std::mem::take(&mut self.came)).into_owned()
    }
}

/// An answer, read strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn take(came: &mut Vec<u8>, ended: bool) -> Option<Answer> {
        let end = came.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(came[..end].to_vec()).unwrap();
        let answer = |body: &[u8]| Answer {
            head: head.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let lower = head.to_ascii_lowercase();
        if let Some((_, length)) = lower.split_once("content-length: ") {
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let body = came.get(end..end + length)?.to_vec();
            came.drain(..end + length);
            return Some(answer(&body));
        }
        if lower.contains("transfer-encoding: chunked") {
            let (body, taken) = chunks(&came[end..])?;
            came.drain(..end + taken);
            return Some(answer(&body));
        }
        let bodiless = ["HTTP/1.1 1", "HTTP/1.1 204", "HTTP/1.1 304"];
        if bodiless.iter().any(|start| head.starts_with(start)) {
            came.drain(..end);
            return Some(answer(b""));
        }
        ended.then(|| {
            let body = came.split_off(end);
            came.clear();
            answer(&body)
        })
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// The body in a whole chunked message, and how many bytes that has.
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

/// Runs a client in a thread of its own while the loop runs.
#[track_caller]
pub(crate) fn beside<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let client: JoinHandle<R> = thread::spawn(f);
    run_until(|| client.is_finished());
    client.join().unwrap()
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request with a body of a known length.
pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
}

thread_local! {
    /// The log lines of this thread, while they are wanted.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs `f`, and returns the log lines of this thread meanwhile: the level, the message and the fields of each.
pub(crate) fn logged(f: impl FnOnce()) -> Vec<String> {
    install_recorder();
    LINES.replace(Some(Vec::new()));
    f();
    LINES.take().unwrap_or_default()
}

/// Installs the recorder for all threads, before there is a log line: one that is first reached without a subscriber, while another thread
/// installs its own, may stay switched off.
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
