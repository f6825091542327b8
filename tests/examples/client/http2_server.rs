//! A server that sends and receives HTTP/2 frames by a script.

use uptick::http::h2::hpack::{Decoder, Encoder, Field, Indexing, ListLimits};

use super::server::{Peer, ReceivedRequest};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// A kind of frame that no client sends.
pub(crate) const NO_FRAME: u8 = 255;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;

pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME: usize = 16 * 1024;

/// The server's end of an HTTP/2 connection. It acknowledges SETTINGS and PING frames, and opens the windows for received data.
pub(crate) struct Http2Peer<'a> {
    pub(crate) peer: &'a mut Peer,
    encoder: Encoder,
    decoder: Decoder,
    opens_windows: bool,
    /// The window of new streams for data to the client.
    pub(crate) initial_window: usize,
    /// The window of the connection for data to the client, without the data sent.
    pub(crate) connection_window: usize,
}

/// A received frame. The payload of HEADERS frames is replaced by the decoded fields.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
    pub(crate) fields: Vec<(String, String)>,
}

impl<'a> Http2Peer<'a> {
    /// Reads the preface of a client and sends the settings.
    pub(crate) fn accept(peer: &'a mut Peer, settings: &[(u16, u32)]) -> Option<Http2Peer<'a>> {
        let preface = peer.exactly(PREFACE.len())?;
        if preface != PREFACE {
            return None;
        }
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let mut this = Http2Peer {
            peer,
            encoder: Encoder::new(),
            decoder: Decoder::new(4096),
            opens_windows: true,
            initial_window: 65_535,
            connection_window: 65_535,
        };
        this.send(SETTINGS, 0, 0, &payload);
        Some(this)
    }

    /// Stops opening the windows for received data.
    pub(crate) fn keep_windows(&mut self) {
        self.opens_windows = false;
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.peer.send(bytes)
    }

    /// Sends a header block.
    pub(crate) fn fields(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let block = self.encode(fields);
        let flags = if end { END_STREAM } else { 0 };
        self.send(HEADERS, flags | END_HEADERS, stream, &block);
    }

    fn encode(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in fields {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            self.encoder
                .field(name, value, Indexing::Without, &mut block);
        }
        block
    }

    /// Sends a complete response with a body.
    pub(crate) fn respond(&mut self, stream: u32, status: &str, body: &[u8]) {
        self.fields(stream, &[(":status", status)], body.is_empty());
        self.data(stream, body, true);
    }

    /// Sends a body, without regard to windows.
    pub(crate) fn data(&mut self, stream: u32, body: &[u8], end: bool) -> bool {
        let count = body.chunks(FRAME).len();
        body.chunks(FRAME).enumerate().all(|(index, piece)| {
            let is_last = index + 1 == count;
            let flags = if end && is_last { END_STREAM } else { 0 };
            self.send(DATA, flags, stream, piece)
        })
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub(crate) fn go_away(&mut self, last: u32, code: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        self.send(GOAWAY, 0, 0, &payload);
    }

    pub(crate) fn open_window(&mut self, stream: u32, count: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &count.to_be_bytes());
    }

    /// Reads the next frame; `None` at the end of the connection. CONTINUATION frames are joined with their HEADERS frame.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut frame = self.read()?;
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => {
                for entry in frame.payload.chunks(6) {
                    if entry[..2] == INITIAL_WINDOW_SIZE.to_be_bytes() {
                        self.initial_window = word(&entry[2..]) as usize;
                    }
                }
                self.send(SETTINGS, ACK, 0, b"");
            }
            PING if frame.flags & ACK == 0 => {
                self.send(PING, ACK, 0, &frame.payload);
            }
            DATA if self.opens_windows && !frame.payload.is_empty() => {
                let count = frame.payload.len() as u32;
                self.open_window(0, count);
                if frame.flags & END_STREAM == 0 {
                    self.open_window(frame.stream, count);
                }
            }
            WINDOW_UPDATE if frame.stream == 0 => {
                self.connection_window += word(&frame.payload) as usize;
            }
            HEADERS => {
                while frame.flags & END_HEADERS == 0 {
                    let next = self.read()?;
                    frame.payload.extend(next.payload);
                    frame.flags |= next.flags & END_HEADERS;
                }
                frame.fields = self.decode(&frame)?;
            }
            _ => {}
        }
        Some(frame)
    }

    fn read(&mut self) -> Option<Frame> {
        let header = self.peer.exactly(9)?;
        let word = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let payload = self.peer.exactly(word(&header[..3]) as usize)?;
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: word(&header[5..]),
            payload,
            fields: Vec::new(),
        })
    }

    fn decode(&mut self, frame: &Frame) -> Option<Vec<(String, String)>> {
        let mut block = &frame.payload[..];
        if frame.flags & PADDED != 0 {
            block = &block[1..block.len() - usize::from(block[0])];
        }
        if frame.flags & PRIORITY != 0 {
            block = &block[5..];
        }
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let mut sink = |field: Field<'_>| fields.push((text(field.name), text(field.value)));
        let limits = ListLimits {
            fields: 1000,
            bytes: 1 << 20,
        };
        self.decoder.decode(block, limits, &mut sink).ok()?;
        Some(fields)
    }

    /// Reads through the next HEADERS frame, and records its request. Returns its stream and whether it ends the stream.
    pub(crate) fn head(&mut self) -> Option<(u32, bool)> {
        loop {
            let frame = self.frame()?;
            if frame.kind == HEADERS {
                self.record(&frame, Vec::new());
                return Some((frame.stream, frame.flags & END_STREAM != 0));
            }
        }
    }

    /// Reads a request with its body, and records it. Returns its stream. It must not overlap with another one.
    pub(crate) fn request(&mut self) -> Option<u32> {
        let head = loop {
            let frame = self.frame()?;
            if frame.kind == HEADERS {
                break frame;
            }
        };
        let (mut body, mut is_end) = (Vec::new(), head.flags & END_STREAM != 0);
        while !is_end {
            let frame = self.frame()?;
            if frame.stream == head.stream && [DATA, HEADERS].contains(&frame.kind) {
                is_end = frame.flags & END_STREAM != 0;
                if frame.kind == DATA {
                    body.extend(frame.payload);
                }
            }
        }
        self.record(&head, body);
        Some(head.stream)
    }

    fn record(&mut self, head: &Frame, body: Vec<u8>) {
        let pseudo = |name: &str| {
            let mut fields = head.fields.iter();
            let field = fields.find(|(field, _)| field == name);
            field.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        self.peer.record(&ReceivedRequest {
            connection: self.peer.number,
            method: pseudo(":method"),
            target: pseudo(":path"),
            version: "HTTP/2".into(),
            fields: head.fields.clone(),
            body,
            ..ReceivedRequest::default()
        });
    }

    /// Reads frames until the client closes the connection, or sends a frame of this kind, which is returned.
    pub(crate) fn wait_for(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Responds to requests with a text until the client closes the connection.
    pub(crate) fn serve(&mut self, text: &str) {
        while let Some(stream) = self.request() {
            self.respond(stream, "200", text.as_bytes());
        }
    }
}

/// Returns the number that bytes stand for.
pub(crate) fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
