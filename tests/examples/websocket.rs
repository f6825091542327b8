//! A blocking WebSocket client for the tests of the examples.

use std::time::{Duration, Instant};

use uptick::websocket::protocol::deflate::Inflater;
use uptick::websocket::protocol::frame::{self, Flags, Opcode};
use uptick::websocket::protocol::{Decoder, Event, Limits, Role};
use uptick::websocket::{CloseCode, Message};

use crate::http::{Client, HttpResponse};
use crate::peer::Peer;
use crate::program::TIMEOUT;

/// The mask of all frames. It need not be random in tests.
const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
/// The key from RFC 6455, section 1.3, and the matching accept value.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An open WebSocket.
pub(crate) struct WebSocket {
    peer: Peer,
    decoder: Decoder,
    inflater: Inflater,
}

/// Requests a WebSocket with additional headers. Returns the response and the connection.
pub(crate) fn request_upgrade(uri: &str, path: &str, fields: &[&str]) -> (HttpResponse, Client) {
    let mut client = Client::connect(uri);
    let mut all = vec![
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        KEY,
    ];
    all.extend(fields);
    client.request(&format!("GET {path}"), &all);
    let response = client.response();
    (response, client)
}

impl WebSocket {
    #[track_caller]
    pub(crate) fn open(uri: &str, path: &str, fields: &[&str]) -> WebSocket {
        let (response, client) = request_upgrade(uri, path, fields);
        WebSocket::accepted(&response, client)
    }

    /// Opens a WebSocket of a service that is being replaced. Retries while a worker that is shutting down refuses with 503.
    #[track_caller]
    pub(crate) fn open_despite_shutdown(uri: &str, path: &str) -> WebSocket {
        let begin = Instant::now();
        loop {
            let (response, client) = request_upgrade(uri, path, &[]);
            if response.status != 503 || begin.elapsed() > TIMEOUT {
                return WebSocket::accepted(&response, client);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn accepted(response: &HttpResponse, client: Client) -> WebSocket {
        assert_eq!(response.status, 101, "{response:?}");
        let accepted = response.field("sec-websocket-accept");
        assert_eq!(accepted.as_deref(), Some(ACCEPT));
        let extensions = response.field("sec-websocket-extensions");
        WebSocket {
            peer: client.into_peer(),
            decoder: Decoder::new(Role::Client).compressed(extensions.is_some()),
            inflater: Inflater::new(),
        }
    }

    pub(crate) fn send(&mut self, message: impl Into<Message>) {
        let message = message.into();
        let opcode = match &message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        self.frame(opcode, Flags::FIN, message.as_bytes());
    }

    pub(crate) fn frame(&mut self, opcode: Opcode, flags: Flags, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, opcode, flags, MASK, payload);
        self.raw(&bytes);
    }

    /// Sends arbitrary bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.peer.send(bytes);
    }

    /// Reads the next event.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Event {
        let limits = Limits::default().message(1 << 30);
        loop {
            let mut bytes = self.peer.bytes(2);
            let extended = match bytes[1] {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            bytes.extend(self.peer.bytes(extended));
            let length = match extended {
                0 => usize::from(bytes[1]),
                _ => bytes[2..]
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            };
            bytes.extend(self.peer.bytes(length));
            self.decoder.push(bytes[..].into());
            if let Some(event) = self.decoder.next(&limits, Some(&mut self.inflater)) {
                return event;
            }
        }
    }

    #[track_caller]
    pub(crate) fn message(&mut self) -> Message {
        match self.event() {
            Event::Message(message) => message,
            other => panic!("not a message: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        match self.message() {
            Message::Text(text) => text.to_string(),
            other @ Message::Binary(_) => panic!("not a text: {other:?}"),
        }
    }

    /// Checks that the next event is a close with a code, and that the connection ends after it.
    #[track_caller]
    pub(crate) fn expect_close(mut self, code: CloseCode) {
        match self.event() {
            Event::Close(Some(close)) => assert_eq!(close.code, code, "{close:?}"),
            other => panic!("not a close: {other:?}"),
        }
        let mut bytes = Vec::new();
        frame::append(
            &mut bytes,
            Opcode::Close,
            Flags::FIN,
            MASK,
            &code.as_u16().to_be_bytes(),
        );
        let _ = self.peer.try_send(bytes);
        self.peer.expect_end();
    }

    /// Closes the WebSocket, and waits for the close frame of the server and the end of the connection.
    #[track_caller]
    pub(crate) fn close(mut self, code: CloseCode) {
        self.frame(Opcode::Close, Flags::FIN, &code.as_u16().to_be_bytes());
        self.expect_close(code);
    }
}
