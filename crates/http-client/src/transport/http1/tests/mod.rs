//! Sessions against scripted servers.

mod closing;
mod framing;
mod requests;
mod reuse;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use uptick_event_loop::{block_on, sleep};
use uptick_socket::{Connection, Connector, ConnectorInterface};

use super::Http1Session;
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, ExchangeSettings, OutgoingBody, OutgoingRequest, SessionOwner};

/// A time after which a test has failed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An owner that records its calls.
#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<String>>>);

impl Recorder {
    fn text(&self) -> String {
        self.0.borrow().join(" ")
    }

    fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }
}

impl SessionOwner for Recorder {
    fn available(&self, keep_alive: Option<Duration>) {
        self.add(match keep_alive {
            Some(time) => format!("available:{}", time.as_secs()),
            None => "available".into(),
        });
    }

    fn retired(&self) {
        self.add("retired");
    }

    fn closed(&self) {
        self.add("closed");
    }
}

/// A server whose script serves one connection on a thread.
struct Script {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Script {
    fn new(script: impl FnOnce(TcpStream) + Send + 'static) -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            stream.set_nodelay(true).unwrap();
            script(stream);
        });
        Script { address, thread }
    }

    async fn connect(&self) -> Connection {
        let uri = format!("tcp://{}", self.address);
        Connector::new().connect(&uri).await.unwrap()
    }

    async fn session(&self) -> (Rc<Http1Session>, Recorder) {
        let owner = Recorder::default();
        let session = Http1Session::new(self.connect().await, Rc::new(owner.clone()));
        (session, owner)
    }

    fn join(self) {
        self.thread.join().unwrap();
    }
}

/// Reads until the bytes end with `end`.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// Reads the head of a request.
fn read_head(stream: &mut TcpStream) -> String {
    read_until(stream, "\r\n\r\n")
}

/// Waits until the client has closed the connection.
fn await_close(stream: &mut TcpStream) {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == IoErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn settings() -> ExchangeSettings {
    ExchangeSettings {
        write_timeout: Some(TIMEOUT),
        first_byte_timeout: Some(TIMEOUT),
        read_timeout: Some(TIMEOUT),
        max_head: 64 * 1024,
        max_body: Some(1 << 20),
        read_ahead: 64 * 1024,
    }
}

fn get() -> OutgoingRequest<'static> {
    OutgoingRequest {
        method: &Method::GET,
        scheme: "http",
        target: "/",
        host: "h.example",
        fields: &[],
        body: OutgoingBody::Empty,
        close: false,
        upgrade: false,
        settings: settings(),
    }
}

fn fields<const N: usize>(
    fields: [(&'static str, &'static str); N],
) -> [(HeaderName, HeaderValue); N] {
    fields.map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    })
}

/// The result of an exchange as text: interim status codes, status, body, trailers, and the kind of the failure.
async fn outcome(exchange: &Exchange) -> String {
    let head = poll_fn(|context| exchange.poll_head(context)).await;
    let mut text: String = exchange
        .informational()
        .iter()
        .map(|status| format!("{status} "))
        .collect();
    match head {
        Ok(head) => text += head.status().as_str(),
        Err(failure) => return text + failure.kind.name(),
    }
    text += " ";
    text += &body(exchange).await;
    if let Some(trailers) = exchange.take_trailers() {
        for (name, value) in trailers.fields() {
            text += &format!(" {name}={}", String::from_utf8_lossy(value));
        }
    }
    text
}

/// The body of an exchange as text, or the kind of its failure.
async fn body(exchange: &Exchange) -> String {
    match poll_fn(|context| exchange.poll_collected(context)).await {
        Ok(body) => format!("{:?}", String::from_utf8_lossy(&body)),
        Err(failure) => failure.kind.name().into(),
    }
}

/// Returns the failure of an exchange.
async fn failure(exchange: &Exchange) -> Failure {
    match poll_fn(|context| exchange.poll_head(context)).await {
        Err(failure) => failure,
        Ok(_) => poll_fn(|context| exchange.poll_collected(context))
            .await
            .unwrap_err(),
    }
}

/// Sends a request to a server that answers with `response`, in pieces of this size, and then closes the connection if `closes` is set.
/// Returns the outcome and the calls of the owner.
async fn respond(
    request: OutgoingRequest<'_>,
    response: &str,
    piece: usize,
    closes: bool,
) -> (String, String) {
    let bytes = response.as_bytes().to_vec();
    let script = Script::new(move |mut stream| {
        read_head(&mut stream);
        for piece in bytes.chunks(piece) {
            if stream.write_all(piece).is_err() {
                return;
            }
            if bytes.len() > piece.len() {
                // Enough for the client to read the piece separately most times.
                thread::sleep(Duration::from_micros(200));
            }
        }
        if closes {
            drop(stream);
        } else {
            await_close(&mut stream);
        }
    });
    let (session, owner) = script.session().await;
    let exchange = session.begin(request).unwrap();
    let outcome = outcome(&exchange).await;
    sleep(Duration::ZERO).await;
    let calls = owner.text();
    session.close();
    script.join();
    (outcome, calls)
}

/// Runs a test on the loop of its thread.
#[track_caller]
fn run(test: impl Future<Output = ()> + 'static) {
    block_on(test).unwrap();
}

/// Waits until the condition holds.
async fn wait_until(mut condition: impl FnMut() -> bool) {
    let mut waits = 0;
    while !condition() {
        sleep(Duration::from_millis(5)).await;
        waits += 1;
        assert!(waits < 4000, "the condition does not hold");
    }
}

#[test]
fn the_state_of_an_idle_session_is_small() {
    assert!(
        size_of::<Http1Session>() <= 88,
        "{} bytes",
        size_of::<Http1Session>()
    );
}

#[test]
fn a_failure_keeps_its_kind() {
    run(async {
        let script = Script::new(drop);
        let (session, owner) = script.session().await;
        let exchange = session.begin(get()).unwrap();
        let failure = failure(&exchange).await;
        assert_eq!(failure.kind, ErrorKind::ClosedBeforeResponse);
        assert!(failure.reason.contains("127.0.0.1"), "{}", failure.reason);
        assert_eq!(owner.text(), "closed");
        assert!(!session.is_reusable());
        let exchange = session.begin(get()).unwrap();
        assert!(super::tests::failure(&exchange).await.unprocessed);
        script.join();
    });
}

/// Writes a body of pieces and ends it.
async fn write_pieces(exchange: &Exchange, pieces: &[&'static str]) {
    for piece in pieces {
        poll_fn(|context| exchange.poll_writable(context)).await;
        exchange.write(Bytes::from_static(piece.as_bytes()));
    }
    exchange.end(None);
}
