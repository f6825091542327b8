//! A server and a client over an in-memory WebSocket.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use uptick_emitter::{Emitter, Events};
use uptick_event_loop::{block_on, sleep};
use uptick_http::HttpServer;
use uptick_socketio::{Socket, SocketIo, SocketIoOptions};
use uptick_websocket::{CloseCode, Message, WebSocket, test};

/// Time within which an expected message must arrive.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Time for which no message may arrive.
const SILENCE: Duration = Duration::from_millis(30);

/// A server that is mounted on an HTTP server without a listener.
#[derive(Clone, Copy)]
pub(crate) struct Fixture {
    pub(crate) io: SocketIo,
    pub(crate) http: HttpServer,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        Fixture::with(SocketIoOptions::new())
    }

    pub(crate) fn with(options: SocketIoOptions) -> Fixture {
        let io = SocketIo::with_options(options);
        let http = HttpServer::new();
        http.mount("/socket.io/", &io);
        Fixture { io, http }
    }

    /// Connects a client that has not joined a namespace.
    pub(crate) async fn open(self) -> Client {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let ws = test::connect(self.http, path).await.unwrap();
        let mut client = Client {
            messages: ws.events(WebSocket::MESSAGE),
            ws,
        };
        let handshake = client.text().await;
        assert!(handshake.starts_with("0{\"sid\":"), "{handshake}");
        client
    }

    /// Connects a client that has joined a namespace, and returns the id of its socket.
    pub(crate) async fn join(self, namespace: &str) -> (Client, String) {
        let client = self.open().await;
        client.join(namespace, "").await
    }

    /// Connects a client that has joined `/`.
    pub(crate) async fn connect(self) -> Client {
        self.join("/").await.0
    }
}

pub(crate) struct Client {
    pub(crate) ws: WebSocket,
    messages: Events<WebSocket, Message>,
}

impl Client {
    /// Joins a namespace, and returns the id of the socket.
    pub(crate) async fn join(mut self, namespace: &str, auth: &str) -> (Client, String) {
        let prefix = match namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        self.send(&format!("0{prefix}{auth}"));
        let response = self.packet().await;
        let id = response
            .strip_prefix(&format!("0{prefix}{{\"sid\":\""))
            .and_then(|rest| rest.get(..20))
            .unwrap_or_else(|| panic!("{response}"));
        let id = id.to_owned();
        (self, id)
    }

    /// Sends a Socket.IO packet.
    pub(crate) fn send(&self, packet: &str) {
        self.ws.send(format!("4{packet}"));
    }

    /// Returns the next message; `None` after the connection is closed.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let next = Box::pin(self.messages.next());
        match select(next, Box::pin(sleep(TIMEOUT))).await {
            Either::Left((message, _)) => message,
            Either::Right(_) => panic!("no message in {TIMEOUT:?}"),
        }
    }

    async fn text(&mut self) -> String {
        match self.message().await {
            Some(Message::Text(text)) => text.to_string(),
            other => panic!("{other:?} instead of text"),
        }
    }

    /// Returns the next Socket.IO packet, without the leading `4` of its message.
    pub(crate) async fn packet(&mut self) -> String {
        let text = self.text().await;
        text.strip_prefix('4')
            .unwrap_or_else(|| panic!("{text}"))
            .to_owned()
    }

    /// Checks that the next packets are `packets`.
    pub(crate) async fn expect(&mut self, packets: &[&str]) {
        for expected in packets {
            assert_eq!(self.packet().await, *expected);
        }
    }

    /// Checks that no message arrives for a short time.
    pub(crate) async fn expect_silence(&mut self) {
        let next = Box::pin(self.messages.next());
        if let Either::Left((message, _)) = select(next, Box::pin(sleep(SILENCE))).await {
            panic!("{message:?}");
        }
    }

    /// Checks that the server closes the connection.
    pub(crate) async fn expect_close(&mut self) {
        while let Some(message) = self.message().await {
            assert!(
                message.as_bytes() == b"1" || message.as_bytes().starts_with(b"41"),
                "{message:?}"
            );
        }
    }

    pub(crate) fn close(&self) {
        self.ws.close(CloseCode::NORMAL, "");
    }
}

/// Runs a test on the event loop of the thread.
pub(crate) fn run(test: impl Future<Output = ()> + 'static) {
    block_on(test).unwrap();
}

/// Waits until `condition` returns `true`.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waited = Cell::new(Duration::ZERO);
    while !condition() {
        let step = Duration::from_millis(1);
        assert!(waited.get() < TIMEOUT, "timed out");
        waited.set(waited.get() + step);
        sleep(step).await;
    }
}

/// A log that callbacks write to.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Returns a cell that always contains the socket that connected last.
pub(crate) fn last_socket(io: SocketIo) -> Rc<Cell<Option<Socket>>> {
    let last = Rc::new(Cell::new(None));
    let kept = Rc::clone(&last);
    io.on("connection", move |socket: Socket| kept.set(Some(socket)));
    last
}
