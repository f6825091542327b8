//! A blocking HTTP/2 client that writes and reads frames without checks, for valid and invalid requests.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use uptick::http::h2::hpack::{Decoder, Encoder, Field, Indexing, ListLimits};

use crate::program::TIMEOUT;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const CANCEL: u32 = 8;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Maximum size of a frame that every peer accepts.
const FRAME: usize = 16 * 1024;
/// The largest window.
const MAX_WINDOW: u32 = i32::MAX as u32;
/// The window of a connection and of its streams before a frame changes it.
const INITIAL_WINDOW: u32 = 65_535;
/// Identifier of `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) type Fields = Vec<(String, String)>;

/// A connection to a server.
pub(crate) struct Http2Client {
    tcp: TcpStream,
    encoder: Encoder,
    decoder: Decoder,
    next: u32,
    /// The header block that is being received: its stream, its flags and its bytes.
    block: Option<(u32, u8, Vec<u8>)>,
    /// The windows for sending, of the connection and of a new stream.
    window: i64,
    stream_window: i64,
    streams: BTreeMap<u32, Stream>,
    /// The settings of the server.
    pub(crate) settings: BTreeMap<u16, u32>,
    /// The last streams and the codes of received GOAWAY frames.
    pub(crate) go_aways: Vec<(u32, u32)>,
    pub(crate) pongs: Vec<Vec<u8>>,
    /// `true` after the server closed the connection.
    pub(crate) ended: bool,
}

/// A stream as received.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    window: i64,
    /// The statuses of interim responses.
    pub(crate) interim: Vec<u16>,
    /// The status of the response; 0 before it was received.
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    /// `true` after the end of the response.
    pub(crate) end: bool,
    /// The code of a received RST_STREAM frame.
    pub(crate) reset: Option<u32>,
}

impl Stream {
    /// Returns the value of a header. Several values are joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let fields = self.fields.iter().filter(|(field, _)| field == name);
        let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end || self.reset.is_some()
    }
}

impl Http2Client {
    /// Connects to a server with a URI such as `http://127.0.0.1:8080`. The windows for receiving are as large as possible.
    pub(crate) fn connect(uri: &str) -> Http2Client {
        let mut client = Http2Client::connect_with_window(uri, MAX_WINDOW);
        client.open_window(0, MAX_WINDOW - INITIAL_WINDOW);
        client
    }

    /// Connects with a window for receiving on each stream. That of the connection has its initial size of 64 KiB − 1.
    pub(crate) fn connect_with_window(uri: &str, window: u32) -> Http2Client {
        let address = uri.strip_prefix("http://").unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(TIMEOUT)).unwrap();
        tcp.set_write_timeout(Some(TIMEOUT)).unwrap();
        let mut client = Http2Client {
            tcp,
            encoder: Encoder::new(),
            decoder: Decoder::new(4096),
            next: 1,
            block: None,
            window: INITIAL_WINDOW.into(),
            stream_window: INITIAL_WINDOW.into(),
            streams: BTreeMap::new(),
            settings: BTreeMap::new(),
            go_aways: Vec::new(),
            pongs: Vec::new(),
            ended: false,
        };
        let mut bytes = PREFACE.to_vec();
        let mut setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        setting.extend(window.to_be_bytes());
        append_frame(&mut bytes, SETTINGS, 0, 0, &setting);
        client.raw(&bytes);
        client.wait(|client| !client.settings.is_empty());
        client
    }

    /// Sends arbitrary bytes. The server may have closed the connection.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes);
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, kind, flags, stream, payload);
        self.raw(&bytes);
    }

    /// Grows a window for receiving: of a stream, or of the connection for stream 0.
    pub(crate) fn open_window(&mut self, stream: u32, bytes: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Opens a stream with arbitrary fields. `end`: the request has no body. Returns the identifier of the stream.
    pub(crate) fn request(&mut self, fields: &[(&str, &str)], end: bool) -> u32 {
        let id = self.next;
        self.next += 2;
        let stream = Stream {
            window: self.stream_window,
            ..Stream::default()
        };
        self.streams.insert(id, stream);
        self.fields(id, fields, end);
        id
    }

    /// Requests a page.
    pub(crate) fn get(&mut self, path: &str) -> u32 {
        self.request(&head("GET", path), true)
    }

    /// Sends a header block: the head of a request, or trailers.
    pub(crate) fn fields(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value) in fields {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            self.encoder
                .field(name, value, Indexing::Without, &mut block);
        }
        let mut bytes = Vec::new();
        let count = block.chunks(FRAME).len();
        for (index, piece) in block.chunks(FRAME).enumerate() {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let mut flags = if index == 0 && end { END_STREAM } else { 0 };
            if index + 1 == count {
                flags |= END_HEADERS;
            }
            append_frame(&mut bytes, kind, flags, stream, piece);
        }
        self.raw(&bytes);
    }

    /// Sends a body, and waits for windows. Returns `false` if the server resets the stream or ends the connection before it is sent.
    pub(crate) fn data(&mut self, stream: u32, mut bytes: &[u8], end: bool) -> bool {
        loop {
            let (own, over) = match self.streams.get(&stream) {
                Some(stream) => (stream.window, stream.reset.is_some()),
                None => (0, true),
            };
            if over || self.ended {
                return false;
            }
            let room = usize::try_from(own.min(self.window)).unwrap_or(0);
            let length = bytes.len().min(room).min(FRAME);
            if length == 0 && !bytes.is_empty() {
                self.step();
                continue;
            }
            let (piece, rest) = bytes.split_at(length);
            let flags = if end && rest.is_empty() {
                END_STREAM
            } else {
                0
            };
            self.frame(DATA, flags, stream, piece);
            self.window -= length as i64;
            self.streams.get_mut(&stream).unwrap().window -= length as i64;
            bytes = rest;
            if bytes.is_empty() {
                return true;
            }
        }
    }

    /// Sends as much of a body as the windows allow. Returns the number of bytes.
    pub(crate) fn send_some(&mut self, stream: u32, bytes: &[u8]) -> usize {
        let window = self.stream(stream).window.min(self.window);
        let count = bytes.len().min(usize::try_from(window).unwrap_or(0));
        if count > 0 {
            self.data(stream, &bytes[..count], false);
        }
        count
    }

    /// Returns a stream as far as it was received.
    pub(crate) fn stream(&self, id: u32) -> &Stream {
        &self.streams[&id]
    }

    /// Removes the bytes that were received on a stream.
    pub(crate) fn take_data(&mut self, id: u32) -> Vec<u8> {
        std::mem::take(&mut self.streams.get_mut(&id).unwrap().body)
    }

    /// Waits for the end of a response, for the reset of its stream or for the end of the connection.
    #[track_caller]
    pub(crate) fn response(&mut self, id: u32) -> Stream {
        self.wait(|client| client.stream(id).is_over());
        self.streams.remove(&id).unwrap()
    }

    /// Reads until a condition is true or the server has closed the connection.
    #[track_caller]
    pub(crate) fn wait(&mut self, condition: impl Fn(&Http2Client) -> bool) {
        while !condition(self) && !self.ended {
            self.step();
        }
    }

    /// Checks that the connection works: the server answers a PING, after everything that it sent before.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        let count = self.pongs.len();
        self.frame(PING, 0, 0, b"12345678");
        self.wait(|client| client.pongs.len() > count);
        assert!(!self.ended, "{:?}", self.go_aways);
    }

    /// Reads and handles a frame.
    #[track_caller]
    fn step(&mut self) {
        let mut header = [0; 9];
        if !self.read(&mut header) {
            return;
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        if !self.read(&mut payload) {
            return;
        }
        let id = u32::from_be_bytes([s0, s1, s2, s3]);
        let is_in_block = self.block.is_some();
        assert!(is_in_block == (kind == CONTINUATION), "frame {kind}");
        let word = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            DATA => {
                assert!(payload.len() <= FRAME);
                if let Some(stream) = self.streams.get_mut(&id) {
                    assert!(!stream.is_over() && stream.status != 0);
                    stream.body.extend(payload);
                    stream.end = flags & END_STREAM != 0;
                }
            }
            HEADERS => self.block = Some((id, flags, payload)),
            CONTINUATION => {
                let (stream, all_flags, bytes) = self.block.as_mut().unwrap();
                assert_eq!(*stream, id);
                *all_flags |= flags & END_HEADERS;
                bytes.extend(payload);
            }
            RST_STREAM => {
                let code = word(0);
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.reset = Some(code);
                }
            }
            SETTINGS if flags & ACK == 0 => {
                for entry in payload.chunks(6) {
                    let value = u32::from_be_bytes(entry[2..].try_into().unwrap());
                    self.set(u16::from_be_bytes([entry[0], entry[1]]), value);
                }
                self.frame(SETTINGS, ACK, 0, b"");
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload),
            PING => self.pongs.push(payload),
            GOAWAY => self.go_aways.push((word(0), word(4))),
            WINDOW_UPDATE if id == 0 => self.window += i64::from(word(0)),
            WINDOW_UPDATE => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.window += i64::from(word(0));
                }
            }
            _ => {}
        }
        if let Some(block) = self
            .block
            .take_if(|(_, flags, _)| *flags & END_HEADERS != 0)
        {
            self.header_block(block);
        }
    }

    fn set(&mut self, id: u16, value: u32) {
        self.settings.insert(id, value);
        if id == INITIAL_WINDOW_SIZE {
            let change = i64::from(value) - self.stream_window;
            self.stream_window += change;
            for stream in self.streams.values_mut() {
                stream.window += change;
            }
        }
    }

    fn header_block(&mut self, (id, flags, block): (u32, u8, Vec<u8>)) {
        let mut fields = Fields::new();
        let limits = ListLimits {
            fields: 1000,
            bytes: 1 << 20,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut sink = |field: Field<'_>| fields.push((text(field.name), text(field.value)));
        self.decoder.decode(&block, limits, &mut sink).unwrap();
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        assert!(!stream.is_over());
        stream.end = flags & END_STREAM != 0;
        if stream.status != 0 {
            assert!(stream.end, "trailers end a stream");
            stream.trailers = Some(fields);
            return;
        }
        let (name, status) = fields.remove(0);
        assert_eq!(name, ":status");
        match status.parse().unwrap() {
            status @ 100..200 => stream.interim.push(status),
            status => (stream.status, stream.fields) = (status, fields),
        }
    }

    /// Reads bytes. Returns `false` at the end of the connection.
    #[track_caller]
    fn read(&mut self, bytes: &mut [u8]) -> bool {
        match self.tcp.read_exact(bytes) {
            Ok(()) => true,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                ) =>
            {
                self.ended = true;
                false
            }
            Err(error) => panic!("reading a frame failed: {error}"),
        }
    }
}

/// Returns the pseudo-headers of a request.
pub(crate) fn head<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
    ]
}

fn append_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
