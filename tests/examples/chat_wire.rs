//! Tests of the protocol of `chat`, with input that its page never sends.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::{Client, HttpResponse};
use crate::program::Program;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

fn serve() -> (Program, String) {
    let server = Program::start("chat", &["--listen", "127.0.0.1:0"]);
    let uri = server.listening_on();
    (server, uri)
}

/// Requests a WebSocket. Returns the connection and the head of the response.
fn upgrade(uri: &str, origin: &str) -> (Client, HttpResponse) {
    let mut client = Client::connect(uri);
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        origin,
    ];
    client.request("GET /chat", &fields);
    let head = client.head();
    (client, head)
}

/// A WebSocket client that handles single frames.
pub(crate) struct Socket {
    client: Client,
    /// The worker that serves the WebSocket, as reported by the server.
    pub(crate) worker: Option<String>,
}

impl Socket {
    pub(crate) fn open(uri: &str) -> Socket {
        let (client, head) = upgrade(uri, "Origin: http://a.example");
        assert_eq!(head.status, 101);
        let worker = head.field("x-worker");
        Socket { client, worker }
    }

    /// Sends a frame, masked with zeros.
    fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![kind];
        match u16::try_from(payload.len()) {
            Ok(length @ 0..126) => frame.push(0x80 | length as u8),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.client.try_send(frame);
    }

    pub(crate) fn send_json(&mut self, message: &Value) {
        self.send(TEXT, message.to_string().as_bytes());
    }

    pub(crate) fn join(&mut self, name: &str, token: &str) {
        self.send_json(&json!({"type": "join", "name": name, "room": "lobby", "token": token}));
    }

    /// Reads the next frame: its kind and its payload.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.client.bytes(2);
        let length = match head[1] {
            126 => u16::from_be_bytes(self.client.bytes(2).try_into().unwrap()).into(),
            length => usize::from(length),
        };
        (head[0], self.client.bytes(length))
    }

    /// Waits for the next message of a type.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next_message();
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Waits for the next message.
    #[track_caller]
    pub(crate) fn next_message(&mut self) -> Value {
        let (frame, payload) = self.frame();
        assert_eq!(frame, TEXT, "{payload:?} is not a text message");
        serde_json::from_slice(&payload).unwrap()
    }

    /// Waits for the close frame, and returns its code.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            let (kind, payload) = self.frame();
            if kind == CLOSE {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }
}

#[test]
fn invalid_messages_close_the_connection() {
    let (_server, uri) = serve();
    let long = json!({"type": "say", "text": "x".repeat(70_000), "ref": 1}).to_string();
    let cases: [(u8, &[u8], u16); 7] = [
        (TEXT, b"", 1003),
        (TEXT, b"{", 1003),
        (TEXT, br#"{"type":"shout","text":"hello"}"#, 1003),
        (TEXT, br#"{"type":"say","text":"hello","ref":-1}"#, 1003),
        (BINARY, br#"{"type":"leave"}"#, 1003),
        (TEXT, b"\xff", 1007),
        (TEXT, long.as_bytes(), 1009),
    ];
    for (kind, payload, code) in cases {
        let mut socket = Socket::open(&uri);
        socket.send(kind, payload);
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
        assert_eq!(socket.closed(), code, "{shown}");
    }
}

#[test]
fn pages_of_other_hosts_may_not_join() {
    let (_server, uri) = serve();
    assert_eq!(upgrade(&uri, "Origin: http://b.example").1.status, 403);
    assert_eq!(upgrade(&uri, "Origin: http://a.example").1.status, 101);
}

#[test]
fn a_client_over_the_rate_limit_is_warned_and_then_disconnected() {
    let (_server, uri) = serve();
    let mut socket = Socket::open(&uri);
    socket.join("Ann", "");
    socket.wait_for("welcome");
    for n in 0..40 {
        socket.send_json(&json!({"type": "say", "text": "hello", "ref": n}));
    }
    let refused = socket.wait_for("refused");
    assert_eq!(refused["code"], "slow");
    assert!(refused["ref"].as_u64() >= Some(29), "{refused}");
    // The messages may arrive in one read. The remaining messages are discarded after the close.
    for _ in 0..1000 {
        socket.send_json(&json!({"type": "typing"}));
    }
    assert_eq!(socket.closed(), 1008);
}

#[test]
fn a_page_can_reclaim_its_name_only_with_its_own_token() {
    let (_server, uri) = serve();
    let [mut ann, mut thief, mut ann_again] = [(); 3].map(|()| Socket::open(&uri));
    ann.join("Ann", "a secret");
    ann.wait_for("welcome");
    thief.join("Ann", "a guess");
    assert_eq!(thief.wait_for("refused")["code"], "name-taken");
    ann_again.join("ann", "a secret");
    let welcome = ann_again.wait_for("welcome");
    assert_eq!(welcome["members"], json!(["Ann"]));
    assert_eq!(ann.closed(), 4001);
}

#[test]
fn a_signal_closes_all_connections_with_1001() {
    let (server, uri) = serve();
    let mut ann = Socket::open(&uri);
    ann.join("Ann", "");
    ann.wait_for("welcome");
    server.signal(Signal::INT);
    assert_eq!(ann.closed(), 1001);
    ann.send(CLOSE, &1001u16.to_be_bytes());
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn invalid_arguments_are_reported() {
    for (arguments, complaint) in [
        (&["--port"][..], "there is no option --port; usage: "),
        (&["--listen"], "--listen takes a value; usage: "),
        (&["--key", "key.pem"], "--key needs --cert; usage: "),
    ] {
        let ended = Program::start("chat", arguments).wait();
        assert!(!ended.status.success());
        let errors = ended.stderr.join("\n");
        assert!(errors.contains(complaint), "{errors}");
    }
}
