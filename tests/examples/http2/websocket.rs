//! Tests of WebSockets over HTTP/2 (RFC 8441) with raw frames.

use uptick::websocket::protocol::deflate::{Deflater, Inflater};
use uptick::websocket::protocol::frame::{self, Flags, Opcode};
use uptick::websocket::protocol::{CloseFrame, Decoder, Event, Limits, Role};
use uptick::websocket::{CloseCode, Message};

use super::serve;
use super::wire::{CANCEL, Http2Client, NO_ERROR, Stream};

const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
const MIB: usize = 1024 * 1024;

/// An open WebSocket on a stream.
pub(super) struct WebSocket {
    pub(super) stream: u32,
    decoder: Decoder,
    inflater: Inflater,
}

/// Requests a WebSocket with additional headers. Returns the stream.
fn request(client: &mut Http2Client, protocol: &str, path: &str, more: &[(&str, &str)]) -> u32 {
    let head = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.example"),
    ];
    client.request(&[&head[..], more].concat(), false)
}

/// Requests a WebSocket that must be refused. Returns the response.
#[track_caller]
fn refused(client: &mut Http2Client, protocol: &str, path: &str, more: &[(&str, &str)]) -> Stream {
    let stream = request(client, protocol, path, more);
    client.wait(|client| client.stream(stream).is_over());
    let response = client.stream(stream);
    assert!(
        response.end && (400..=501).contains(&response.status) && response.status != 500,
        "{protocol} {path} {more:?}: {response:?}"
    );
    client.response(stream)
}

fn encoded(opcode: Opcode, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, opcode, flags, MASK, payload);
    bytes
}

impl WebSocket {
    #[track_caller]
    pub(super) fn open(client: &mut Http2Client, path: &str) -> WebSocket {
        WebSocket::open_with(client, path, &[])
    }

    #[track_caller]
    fn open_with(client: &mut Http2Client, path: &str, more: &[(&str, &str)]) -> WebSocket {
        let fields = [&[("sec-websocket-version", "13")], more].concat();
        let stream = request(client, "websocket", path, &fields);
        client.wait(|client| client.stream(stream).status != 0);
        let response = client.stream(stream);
        assert_eq!(response.status, 200, "{response:?}");
        for name in [
            "sec-websocket-accept",
            "upgrade",
            "connection",
            "content-length",
        ] {
            assert_eq!(response.field(name), None);
        }
        let extensions = response.field("sec-websocket-extensions");
        WebSocket {
            stream,
            decoder: Decoder::new(Role::Client).compressed(extensions.is_some()),
            inflater: Inflater::new(),
        }
    }

    pub(super) fn frame(
        &self,
        client: &mut Http2Client,
        opcode: Opcode,
        flags: Flags,
        payload: &[u8],
    ) {
        client.data(self.stream, &encoded(opcode, flags, payload), false);
    }

    pub(super) fn send(&self, client: &mut Http2Client, message: &Message) {
        let opcode = match message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        self.frame(client, opcode, Flags::FIN, message.as_bytes());
    }

    /// Reads the next event; `None` at the end of the stream.
    #[track_caller]
    pub(super) fn event(&mut self, client: &mut Http2Client) -> Option<Event> {
        let limits = Limits::default().message(1 << 30);
        loop {
            if let Some(event) = self.decoder.next(&limits, Some(&mut self.inflater)) {
                return Some(event);
            }
            let id = self.stream;
            client.wait(|client| !client.stream(id).body.is_empty() || client.stream(id).is_over());
            let bytes = client.take_data(id);
            if bytes.is_empty() {
                return None;
            }
            self.decoder.push(bytes[..].into());
        }
    }

    #[track_caller]
    pub(super) fn expect(&mut self, client: &mut Http2Client, message: &Message) {
        let event = self.event(client);
        let is_equal = matches!(&event, Some(Event::Message(other)) if other == message);
        assert!(is_equal, "{:.200}", format!("{event:?}"));
    }

    /// Checks that the next event is a close with a code, answers it, and checks that the stream ends without an error.
    #[track_caller]
    pub(super) fn expect_close(mut self, client: &mut Http2Client, code: CloseCode) {
        match self.event(client) {
            Some(Event::Close(Some(close))) => assert_eq!(close.code, code),
            other => panic!("not a close: {other:?}"),
        }
        let payload = code.as_u16().to_be_bytes();
        let bytes = encoded(Opcode::Close, Flags::FIN, &payload);
        client.data(self.stream, &bytes, true);
        assert_eq!(self.event(client), None);
        let stream = client.response(self.stream);
        assert!(stream.end, "{stream:?}");
        assert!(matches!(stream.reset, None | Some(NO_ERROR)), "{stream:?}");
    }

    /// Closes the WebSocket, and waits for the close frame of the server and the end of the stream.
    #[track_caller]
    fn close(self, client: &mut Http2Client, code: CloseCode) {
        self.frame(
            client,
            Opcode::Close,
            Flags::FIN,
            &code.as_u16().to_be_bytes(),
        );
        self.expect_close(client, code);
    }
}

#[test]
fn a_websocket_on_a_stream_passes_a_reverse_proxy() {
    let (_server, uri) = crate::http::serve("31-websocket-echo", &[]);
    let (_proxy, uri) = crate::http::serve("61-reverse-proxy", &[&uri]);
    let mut client = Http2Client::connect(&uri);
    let page = client.get("/proxy/servers");
    assert_eq!(client.response(page).status, 200);
    let mut ws = WebSocket::open(&mut client, "/echo");
    for message in [
        Message::from("hello"),
        Message::from("é".repeat(40_000)),
        Message::from(vec![0xff; 1_000_000]),
    ] {
        ws.send(&mut client, &message);
        ws.expect(&mut client, &message);
    }
    ws.close(&mut client, CloseCode::NORMAL);
}

#[test]
fn messages_of_both_kinds_are_echoed() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    // SETTINGS_ENABLE_CONNECT_PROTOCOL.
    assert_eq!(client.settings.get(&8), Some(&1));
    let mut ws = WebSocket::open_with(&mut client, "/ws", &[("origin", "http://any.example")]);
    for size in [0, 1, 125, 126, 65_535, 65_536, 4 * MIB] {
        for message in [
            Message::from("x".repeat(size)),
            Message::from(vec![0x80; size]),
        ] {
            ws.send(&mut client, &message);
            ws.expect(&mut client, &message);
        }
    }
    // Fragments, with a ping between them, and in DATA frames that are not aligned with them.
    ws.frame(&mut client, Opcode::Text, Flags::empty(), b"hel");
    ws.frame(&mut client, Opcode::Ping, Flags::FIN, b"here?");
    assert_eq!(ws.event(&mut client), Some(Event::Pong("here?".into())));
    for byte in encoded(Opcode::Continuation, Flags::FIN, b"lo") {
        client.data(ws.stream, &[byte], false);
    }
    ws.expect(&mut client, &Message::from("hello"));
    ws.close(&mut client, CloseCode::from(4321));
    client.ping();
}

#[test]
fn websockets_and_requests_share_a_connection() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let mut all: Vec<_> = (0..20)
        .map(|_| WebSocket::open(&mut client, "/ws"))
        .collect();
    let slow: Vec<_> = (0..20).map(|_| client.get("/slow")).collect();
    for round in 0..5 {
        for (index, ws) in all.iter().enumerate() {
            ws.send(
                &mut client,
                &Message::from(format!("{round} {index}").repeat(3000)),
            );
        }
        let hello = client.get("/hello");
        assert_eq!(client.response(hello).text(), "hello world\n");
        for (index, ws) in all.iter_mut().enumerate() {
            ws.expect(
                &mut client,
                &Message::from(format!("{round} {index}").repeat(3000)),
            );
        }
    }
    for stream in slow {
        assert_eq!(client.response(stream).text(), "hello world\n");
    }
    for ws in all {
        ws.close(&mut client, CloseCode::NORMAL);
    }
    client.ping();
}

#[test]
fn messages_are_compressed_if_both_sides_agree() {
    let offer = [(
        "sec-websocket-extensions",
        "permessage-deflate; client_max_window_bits",
    )];
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let ws = WebSocket::open_with(&mut client, "/ws", &offer);
    assert_eq!(client.stream(ws.stream).field(offer[0].0), None);

    let (_server, uri) = serve(&["--ws-deflate"]);
    let mut client = Http2Client::connect(&uri);
    let mut ws = WebSocket::open_with(&mut client, "/ws", &offer);
    let agreed = client.stream(ws.stream).field(offer[0].0);
    assert!(agreed.unwrap_or_default().starts_with("permessage-deflate"));
    let text = "to be or not to be, ".repeat(1000);
    let mut deflater = Deflater::new(15);
    for _ in 0..3 {
        let mut small = Vec::new();
        assert!(deflater.compress(text.as_bytes(), &mut small, true));
        ws.frame(&mut client, Opcode::Text, Flags::FIN | Flags::RSV1, &small);
        ws.expect(&mut client, &Message::from(text.clone()));
    }
    ws.send(&mut client, &Message::from("not compressed"));
    ws.expect(&mut client, &Message::from("not compressed"));
    ws.close(&mut client, CloseCode::NORMAL);
}

#[test]
fn protocol_violations_close_only_their_stream() {
    let (_server, uri) = serve(&["--ws-max-message", "1000"]);
    let mut client = Http2Client::connect(&uri);
    let mut other = WebSocket::open(&mut client, "/ws");
    for (bytes, code) in [
        (&b"\x83\x80\0\0\0\0"[..], CloseCode::PROTOCOL),
        (b"\x81\x01x", CloseCode::PROTOCOL),
        (b"\x81\x81\0\0\0\0\xff", CloseCode::INVALID_DATA),
        (b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0", CloseCode::TOO_BIG),
    ] {
        let ws = WebSocket::open(&mut client, "/ws");
        client.data(ws.stream, bytes, false);
        ws.expect_close(&mut client, code);
        other.send(&mut client, &Message::from("still here"));
        other.expect(&mut client, &Message::from("still here"));
    }
}

#[test]
fn refused_websockets_get_a_response_and_leave_the_connection_usable() {
    let (_server, uri) = crate::http::serve("31-websocket-echo", &[]);
    let mut client = Http2Client::connect(&uri);
    let version = ("sec-websocket-version", "13");
    let evil = ("origin", "http://evil.example");
    assert_eq!(
        refused(&mut client, "websocket", "/echo", &[version, evil]).status,
        403
    );
    assert_eq!(
        refused(&mut client, "websocket", "/nothing", &[version]).status,
        404
    );
    refused(&mut client, "teapot", "/echo", &[version]);
    refused(&mut client, "websocket", "/echo", &[]);
    refused(
        &mut client,
        "websocket",
        "/echo",
        &[("sec-websocket-version", "12")],
    );
    // A page is not a tunnel.
    let (_pages, pages) = serve(&[]);
    let mut other = Http2Client::connect(&pages);
    refused(&mut other, "websocket", "/hello", &[version]);
    refused(&mut other, "teapot", "/hello", &[]);
    // A plain request for the path of WebSockets.
    let stream = client.get("/echo");
    assert_eq!(client.response(stream).status, 426);
    let own = ("origin", "http://a.example");
    let mut ws = WebSocket::open_with(&mut client, "/echo", &[own]);
    ws.send(&mut client, &Message::from("hello"));
    ws.expect(&mut client, &Message::from("hello"));
}

#[test]
fn a_reset_stream_is_an_abnormal_closure_and_frees_its_slot() {
    let (server, uri) = crate::http::serve("31-websocket-echo", &[]);
    let mut client = Http2Client::connect(&uri);
    // More than SETTINGS_MAX_CONCURRENT_STREAMS.
    for _ in 0..300 {
        let mut ws = WebSocket::open(&mut client, "/echo");
        ws.send(&mut client, &Message::from("hello"));
        ws.expect(&mut client, &Message::from("hello"));
        client.reset(ws.stream, CANCEL);
        assert_eq!(server.line(), "closed with 1006: \"\"");
    }
    let ws = WebSocket::open(&mut client, "/echo");
    ws.close(&mut client, CloseCode::NORMAL);
    assert_eq!(server.line(), "closed with 1000: \"\"");
    // The end of the stream without a close frame.
    let mut ws = WebSocket::open(&mut client, "/echo");
    client.data(ws.stream, b"", true);
    assert_eq!(ws.event(&mut client), None);
    assert_eq!(server.line(), "closed with 1006: \"\"");
    // The end of the connection.
    let _open = WebSocket::open(&mut client, "/echo");
    drop(client);
    assert_eq!(server.line(), "closed with 1006: \"\"");
}

#[test]
fn a_client_that_opens_no_window_is_paused() {
    const COUNT: usize = 1000;
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect_with_window(&uri, 1000);
    let mut ws = WebSocket::open(&mut client, "/ws");
    let message = Message::from(vec![b'*'; 10_000]);
    let frame = encoded(Opcode::Binary, Flags::FIN, message.as_bytes());
    let bytes = frame.repeat(COUNT);
    let (mut sent, mut blocked) = (0, 0);
    while blocked < 3 {
        client.ping();
        match client.send_some(ws.stream, &bytes[sent..]) {
            0 => blocked += 1,
            count => (sent, blocked) = (sent + count, 0),
        }
    }
    assert!(sent < 2 * MIB, "{sent} bytes were accepted");
    assert_eq!(client.stream(ws.stream).body.len(), 1000);
    // Others are not paused.
    let hello = client.get("/hello");
    assert_eq!(client.response(hello).text(), "hello world\n");
    client.open_window(0, 1 << 30);
    client.open_window(ws.stream, 1 << 30);
    assert!(client.data(ws.stream, &bytes[sent..], false));
    for _ in 0..COUNT {
        ws.expect(&mut client, &message);
    }
    ws.close(&mut client, CloseCode::NORMAL);
}

#[test]
fn a_shutdown_closes_websockets_with_going_away() {
    let (server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let mut all: Vec<_> = (0..3)
        .map(|_| WebSocket::open(&mut client, "/ws"))
        .collect();
    client.ping();
    server.signal(rustix::process::Signal::TERM);
    let close = CloseFrame::new(CloseCode::GOING_AWAY, "");
    for ws in &mut all {
        assert_eq!(
            ws.event(&mut client),
            Some(Event::Close(Some(close.clone())))
        );
        let payload = CloseCode::GOING_AWAY.as_u16().to_be_bytes();
        let bytes = encoded(Opcode::Close, Flags::FIN, &payload);
        client.data(ws.stream, &bytes, true);
    }
    client.wait(|_| false);
    assert_eq!(
        client.go_aways.last().map(|(_, code)| *code),
        Some(NO_ERROR)
    );
    assert_eq!(server.wait().status.code(), Some(0));
}
