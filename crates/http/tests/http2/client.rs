//! A client of HTTP/2 on the thread of the loop.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use uptick_event_loop::ManualClock;
use uptick_http::h2::ErrorCode;
use uptick_http::h2::hpack::{Decoded, Decoder, Field, ListLimits};
use uptick_http::{HttpServer, Request};
use uptick_socket::Connection;

use crate::frames::*;
use crate::support::{run_until, settle};

/// A received response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Sizes of the received DATA frames, in bytes.
    pub(crate) pieces: Vec<usize>,
    pub(crate) ended: bool,
    pub(crate) reset: Option<ErrorCode>,
}

impl Received {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// Returns `true` if nothing more follows.
    pub(crate) fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// A client that writes and reads frames.
pub(crate) struct Client {
    socket: UnixStream,
    /// The server's end.
    pub(crate) conn: Connection,
    buffer: Vec<u8>,
    decoder: Decoder,
    next: u32,
    /// The responses, by stream.
    pub(crate) streams: BTreeMap<u32, Received>,
    /// The streams in the order in which they ended.
    pub(crate) order: Vec<u32>,
    /// The received GOAWAY frames: last stream and code.
    pub(crate) go_aways: Vec<(u32, ErrorCode)>,
    /// The frames that are not part of a stream, other than GOAWAY, and the WINDOW_UPDATE frames of streams.
    pub(crate) control: Vec<Sent>,
    pub(crate) ended: bool,
    /// `true` if the client opens the windows for received bytes.
    pub(crate) opens_windows: bool,
    /// `true` if the client acknowledges PING frames.
    pub(crate) acknowledges_pings: bool,
}

impl Client {
    /// Connects without sending anything.
    pub(crate) fn silent(http: HttpServer) -> Client {
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let conn = Connection::adopt(other).unwrap();
        http.serve(conn);
        Client {
            socket,
            conn,
            buffer: Vec::new(),
            decoder: Decoder::new(4096),
            next: 1,
            streams: BTreeMap::new(),
            order: Vec::new(),
            go_aways: Vec::new(),
            control: Vec::new(),
            ended: false,
            opens_windows: true,
            acknowledges_pings: true,
        }
    }

    /// Connects, and exchanges the settings.
    pub(crate) fn new(http: HttpServer) -> Client {
        Client::with_settings(http, &[])
    }

    /// Connects with entries of SETTINGS.
    pub(crate) fn with_settings(http: HttpServer, entries: &[(u16, u32)]) -> Client {
        let mut client = Client::silent(http);
        let entries = entries.iter().map(|(id, value)| setting(*id, *value));
        let entries: Vec<u8> = entries.flatten().collect();
        client.send(
            [
                PREFACE,
                &frame(SETTINGS, 0, 0, &entries),
                &frame(SETTINGS, ACK, 0, &[]),
            ]
            .concat(),
        );
        client.read();
        client
    }

    /// Connects with an initial window of streams.
    pub(crate) fn with_window(http: HttpServer, bytes: u32) -> Client {
        let mut client = Client::with_settings(http, &[(4, bytes)]);
        client.opens_windows = false;
        client
    }

    /// Sends bytes completely, unless the server has closed the connection.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        run_until(|| {
            match self.socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => rest = &[],
            }
            rest.is_empty()
        });
    }

    /// Sends as much as the server reads. Returns the number of bytes sent.
    pub(crate) fn send_some(&mut self, mut bytes: &[u8]) -> usize {
        let (mut sent, mut blocked) = (0, 0);
        while blocked < 5 && !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => {
                    sent += count;
                    bytes = &bytes[count..];
                    blocked = 0;
                }
                Err(_) => blocked += 1,
            }
            settle();
        }
        sent
    }

    /// Half-closes the connection.
    pub(crate) fn end(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Returns the identifier of a new stream.
    pub(crate) fn next_id(&mut self) -> u32 {
        let id = self.next;
        self.next += 2;
        id
    }

    /// Sends a request without a body. Returns its stream.
    pub(crate) fn get(&mut self, path: &str) -> u32 {
        self.request(&request("GET", path), END_STREAM)
    }

    /// Sends the head of a request with a body. Returns its stream.
    pub(crate) fn post(&mut self, path: &str) -> u32 {
        self.request(&request("POST", path), 0)
    }

    /// Sends a request head. Returns its stream.
    pub(crate) fn request(&mut self, fields: &[(&str, &str)], flags: u8) -> u32 {
        let id = self.next_id();
        self.send(headers(id, flags, fields));
        id
    }

    /// Sends a piece of a body.
    pub(crate) fn data(&mut self, stream: u32, bytes: impl AsRef<[u8]>, end: bool) {
        let flags = if end { END_STREAM } else { 0 };
        self.send(frame(DATA, flags, stream, bytes.as_ref()));
    }

    /// Reads what the server has sent, until nothing more follows.
    pub(crate) fn read(&mut self) {
        loop {
            settle();
            if !self.read_available() {
                return;
            }
        }
    }

    /// Returns `true` if bytes were received.
    fn read_available(&mut self) -> bool {
        let before = self.buffer.len();
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                    self.ended = true;
                }
            }
            break;
        }
        let has_received = self.buffer.len() > before;
        self.take_frames();
        has_received
    }

    fn take_frames(&mut self) {
        loop {
            let Some(start) = self.buffer.first_chunk::<9>() else {
                return;
            };
            let length = u32::from_be_bytes([0, start[0], start[1], start[2]]) as usize;
            if self.buffer.len() < 9 + length {
                return;
            }
            let bytes: Vec<u8> = self.buffer.drain(..9 + length).collect();
            for frame in frames(&bytes) {
                self.handle(frame);
            }
        }
    }

    fn handle(&mut self, sent: Sent) {
        let id = sent.stream;
        match sent.kind {
            HEADERS => self.head(sent),
            DATA => {
                let stream = self.streams.get_mut(&id).expect("DATA precedes HEADERS");
                assert!(!stream.is_over() && stream.status >= 200, "{stream:?}");
                stream.body.extend_from_slice(&sent.payload);
                stream.pieces.push(sent.payload.len());
                let count = sent.payload.len() as u32;
                if self.opens_windows && count > 0 {
                    self.send([window_update(0, count), window_update(id, count)].concat());
                }
                if sent.flags & END_STREAM != 0 {
                    self.finish(id);
                }
            }
            RST_STREAM => {
                let code = ErrorCode::new(sent.word(0));
                let stream = self.streams.entry(id).or_default();
                assert!(stream.reset.is_none());
                stream.reset = Some(code);
                self.order.push(id);
            }
            GOAWAY => {
                let code = ErrorCode::new(sent.word(4));
                self.go_aways.push((sent.word(0), code));
            }
            PING if sent.flags & ACK == 0 && self.acknowledges_pings => {
                self.send(frame(PING, ACK, 0, &sent.payload));
                self.control.push(sent);
            }
            _ => self.control.push(sent),
        }
    }

    fn head(&mut self, sent: Sent) {
        assert_eq!(sent.flags & END_HEADERS, END_HEADERS);
        let fields = decode(&mut self.decoder, &sent.payload);
        let end = sent.flags & END_STREAM != 0;
        let stream = self.streams.entry(sent.stream).or_default();
        assert!(!stream.is_over(), "{stream:?} {fields:?}");
        if stream.status >= 200 {
            assert!(end);
            stream.trailers = fields;
        } else {
            let (name, status) = fields.first().expect("a head has fields");
            assert_eq!(name, ":status");
            let status = status.parse().unwrap();
            match status {
                100..200 => stream.interim.push(status),
                _ => (stream.status, stream.fields) = (status, fields),
            }
        }
        if end {
            self.finish(sent.stream);
        }
    }

    fn finish(&mut self, id: u32) {
        self.streams.get_mut(&id).unwrap().ended = true;
        self.order.push(id);
    }

    /// Returns what was received of a response by now.
    pub(crate) fn seen(&mut self, stream: u32) -> Received {
        self.read();
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Waits for the end of a response.
    #[track_caller]
    pub(crate) fn response(&mut self, stream: u32) -> Received {
        run_until(|| {
            self.read();
            let is_over = self.streams.get(&stream).is_some_and(Received::is_over);
            is_over || self.ended
        });
        let response = self.streams.get(&stream).cloned();
        let closed = (&self.go_aways, self.ended);
        response.unwrap_or_else(|| panic!("no response to {stream}: {closed:?}"))
    }

    /// Returns the code of the GOAWAY frame that ended the connection, once the server has closed it.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> ErrorCode {
        run_until(|| {
            self.read();
            self.ended
        });
        self.go_aways.last().expect("GOAWAY precedes the end").1
    }

    /// Returns `true` if the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read();
        self.ended
    }

    /// Returns the increments of the window of a stream; 0 is the connection.
    pub(crate) fn credit(&mut self, stream: u32) -> u32 {
        self.read();
        let updates = self.control.iter();
        updates
            .filter(|sent| sent.kind == WINDOW_UPDATE && sent.stream == stream)
            .map(|sent| sent.word(0))
            .sum()
    }

    /// Returns the number of received acknowledgements of PING frames.
    pub(crate) fn pongs(&mut self) -> usize {
        self.read();
        let pings = self.control.iter();
        pings
            .filter(|sent| sent.kind == PING && sent.flags & ACK != 0)
            .count()
    }
}

/// Decodes a header block.
pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
    let limits = ListLimits {
        fields: 1000,
        bytes: 1 << 20,
    };
    let mut fields = Vec::new();
    let mut collect = |field: Field<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(field.name), text(field.value)));
    };
    let decoded = decoder.decode(block, limits, &mut collect);
    assert_eq!(decoded.unwrap(), Decoded::Complete);
    fields
}

/// Returns the head of a request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
    ]
}

/// Returns the head of an extended CONNECT request.
pub(crate) fn extended_connect<'a>(protocol: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = request("CONNECT", path);
    fields.push((":protocol", protocol));
    fields
}

/// Advances the clock in small steps.
pub(crate) fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

/// Returns a server with a route for each kind of response.
pub(crate) fn server() -> HttpServer {
    let http = HttpServer::new();
    http.get("/", |_: Request| "hello");
    http.get("/long", |_: Request| vec![b'x'; 300_000]);
    http.post(
        "/echo",
        |req: Request| async move { req.bytes(1 << 20).await },
    );
    http.get("/never", |_: Request| std::future::pending::<&str>());
    http
}
