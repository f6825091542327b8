//! Frames for the tests, and a server that records its events.

use std::time::Duration;

use bytes::BytesMut;
use uptick_http::h1::RequestHead;
use uptick_http::h2::hpack::{Encoder, Indexing};
use uptick_http::h2::{
    Connection, ErrorCode, Event, Limits, ResponseBody, ResponseHead, StreamKey,
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const PRIORITY_UPDATE: u8 = 0x10;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Returns a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Returns a header block without use of the dynamic table.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut block);
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        encoder.field(name, value, Indexing::Without, &mut block);
    }
    block
}

pub(crate) const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "a.example"),
];

pub(crate) const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "a.example"),
];

/// Returns a HEADERS frame with all of a block.
pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// Returns a GET request.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(stream, END_STREAM, &GET)
}

/// Returns the head of a POST request.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    headers(stream, 0, &POST)
}

pub(crate) fn reset(stream: u32, code: ErrorCode) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.get().to_be_bytes())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut entry = id.to_be_bytes().to_vec();
    entry.extend_from_slice(&value.to_be_bytes());
    entry
}

/// A frame that was sent by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Sent {
    /// Returns the number at this position of the payload.
    pub(crate) fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// Splits bytes into frames.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        frames.push(Sent {
            kind: bytes[3],
            flags: bytes[4],
            stream,
            payload: bytes[9..9 + length].to_vec(),
        });
        bytes = &bytes[9 + length..];
    }
    frames
}

/// An event, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Request(u32, String, bool),
    TooLarge(u32, u16),
    Malformed(u32),
    Data(u32, Vec<u8>, bool),
    Trailers(u32, Vec<(String, Vec<u8>)>),
    Reset(u32, ErrorCode),
    GoAway(u32, ErrorCode),
    WindowOpened,
    Closed(ErrorCode),
    Other(String),
}

/// A server connection whose data of a stream is its identifier.
pub(crate) struct Server {
    pub(crate) connection: Connection<u32>,
    pub(crate) head: RequestHead,
    pub(crate) now: Duration,
}

impl Server {
    /// Creates a server that has not received anything.
    pub(crate) fn fresh(limits: &Limits) -> Server {
        Server {
            connection: Connection::server(limits),
            head: RequestHead::default(),
            now: Duration::from_secs(1000),
        }
    }

    /// Creates a server that has received the preface, SETTINGS and the acknowledgement of its SETTINGS, and whose first frames were sent.
    pub(crate) fn with(limits: &Limits) -> Server {
        let mut server = Server::fresh(limits);
        let start = [
            PREFACE,
            &frame(SETTINGS, 0, 0, &[]),
            &frame(SETTINGS, ACK, 0, &[]),
        ];
        assert_eq!(server.receive(start.concat()), []);
        server.sent();
        server
    }

    pub(crate) fn new() -> Server {
        Server::with(&Limits::default())
    }

    /// Receives bytes, and returns the events.
    pub(crate) fn receive(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Seen> {
        let mut input = BytesMut::from(bytes.as_ref());
        let mut seen = Vec::new();
        while let Some(event) = self
            .connection
            .receive(&mut input, &mut self.head, self.now)
        {
            seen.push(self.record(event));
        }
        assert!(input.is_empty(), "bytes were left");
        seen
    }

    fn record(&mut self, event: Event) -> Seen {
        match event {
            Event::Request { stream, end } => {
                self.connection.accept(stream, stream.id());
                let text = String::from_utf8_lossy(self.head.as_bytes()).into_owned();
                Seen::Request(stream.id(), text, end)
            }
            Event::TooLarge { stream, status, .. } => {
                self.connection.accept(stream, stream.id());
                Seen::TooLarge(stream.id(), status.as_u16())
            }
            Event::Malformed { stream, reason } => {
                assert!(!reason.is_empty());
                Seen::Malformed(stream.id())
            }
            Event::Data { stream, bytes, end } => Seen::Data(stream.id(), bytes.to_vec(), end),
            Event::Trailers { stream, trailers } => {
                let fields = trailers.fields();
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_vec()));
                Seen::Trailers(stream.id(), fields.collect())
            }
            Event::Reset { stream, code } => Seen::Reset(stream.id(), code),
            Event::GoAway { last, code } => Seen::GoAway(last, code),
            Event::WindowOpened => Seen::WindowOpened,
            Event::Closed(error) => {
                assert!(self.connection.is_closed() && !error.reason().is_empty());
                Seen::Closed(error.code())
            }
            other => Seen::Other(format!("{other:?}")),
        }
    }

    /// Returns the control frames that were queued.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        self.connection.write_control(&mut out);
        assert_eq!(self.connection.control_len(), 0);
        frames(&out)
    }

    /// Returns the key of an open stream.
    pub(crate) fn key(&self, id: u32) -> StreamKey {
        self.connection
            .keys()
            .find(|key| key.id() == id)
            .expect("the stream is open")
    }

    /// Sends a complete response, and removes the stream.
    pub(crate) fn respond(&mut self, id: u32, body: &[u8]) -> Vec<Sent> {
        let key = self.key(id);
        let mut out = Vec::new();
        let head = response(ResponseBody::Bytes(body.len() as u64));
        if self
            .connection
            .send_head(key, &head, false, &mut out)
            .unwrap()
        {
            self.connection
                .send_data(key, body, true, &mut out)
                .unwrap();
        }
        assert_eq!(self.connection.remove(key), Some(id));
        frames(&out)
    }
}

/// Returns the head of a response with status 200.
pub(crate) fn response(body: ResponseBody) -> ResponseHead<'static> {
    ResponseHead {
        status: http::StatusCode::OK,
        content_type: Some("text/plain"),
        date: None,
        fields: None,
        body,
        to_head: false,
    }
}
