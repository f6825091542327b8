//! Tests of `/ws` in `90-conformance`.

use rustix::process::Signal;

use uptick::websocket::protocol::deflate::Deflater;
use uptick::websocket::protocol::frame::{self, Flags, Opcode};
use uptick::websocket::protocol::{CloseFrame, Event};
use uptick::websocket::{CloseCode, Message};

use crate::program::Program;
use crate::websocket::{WebSocket, request_upgrade};

const FRAGMENTS: usize = 131_072;

fn serve(options: &[&str]) -> (Program, String) {
    let mut arguments = vec!["--http", "127.0.0.1:0"];
    arguments.extend(options);
    let server = Program::start("90-conformance", &arguments);
    let uri = server.listening_on();
    (server, uri)
}

/// Encodes a message of `count` fragments. All of them except the first and the last have one byte.
fn fragments(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mask = Some([1, 2, 3, 4]);
    frame::append(&mut bytes, Opcode::Text, Flags::empty(), mask, b"");
    for _ in 2..count {
        frame::append(&mut bytes, Opcode::Continuation, Flags::empty(), mask, b"x");
    }
    frame::append(&mut bytes, Opcode::Continuation, Flags::FIN, mask, b"");
    bytes
}

#[test]
fn it_echoes_messages_of_both_kinds_up_to_16_mib() {
    let (_server, uri) = serve(&[]);
    let mut ws = WebSocket::open(&uri, "/ws", &["Origin: http://any.example"]);
    for size in [0, 1, 125, 126, 65_535, 65_536, 16 * 1024 * 1024] {
        for message in [
            Message::from("x".repeat(size)),
            Message::from(vec![0x80; size]),
        ] {
            ws.send(message.clone());
            assert!(ws.message() == message, "{size}");
        }
    }
    ws.send(vec![0; 16 * 1024 * 1024 + 1]);
    ws.expect_close(CloseCode::TOO_BIG);
}

#[test]
fn the_message_limit_is_configurable() {
    let (_server, uri) = serve(&["--ws-max-message", "1000"]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.send("x".repeat(1000));
    assert_eq!(ws.text().len(), 1000);
    ws.send("x".repeat(1001));
    ws.expect_close(CloseCode::TOO_BIG);
}

#[test]
fn a_message_may_have_at_most_131_072_fragments() {
    let (_server, uri) = serve(&[]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.raw(&fragments(FRAGMENTS));
    assert_eq!(ws.text().len(), FRAGMENTS - 2);
    ws.raw(&fragments(FRAGMENTS + 1));
    ws.expect_close(CloseCode::TOO_BIG);
}

#[test]
fn a_message_of_4_mib_in_fragments_of_64_bytes_is_accepted() {
    let (_server, uri) = serve(&[]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    let mask = Some([1, 2, 3, 4]);
    let count = 4 * 1024 * 1024 / 64;
    let mut bytes = Vec::new();
    frame::append(
        &mut bytes,
        Opcode::Binary,
        Flags::empty(),
        mask,
        &[b'*'; 64],
    );
    for _ in 1..count {
        frame::append(
            &mut bytes,
            Opcode::Continuation,
            Flags::empty(),
            mask,
            &[b'*'; 64],
        );
    }
    frame::append(&mut bytes, Opcode::Continuation, Flags::FIN, mask, b"");
    ws.raw(&bytes);
    assert!(ws.message() == Message::from(vec![b'*'; count * 64]));
}

#[test]
fn control_frames_between_fragments_are_answered_immediately() {
    let (_server, uri) = serve(&[]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.frame(Opcode::Text, Flags::empty(), b"hel");
    ws.frame(Opcode::Ping, Flags::FIN, b"here?");
    assert_eq!(ws.event(), Event::Pong("here?".into()));
    ws.frame(Opcode::Pong, Flags::FIN, b"unasked");
    ws.frame(Opcode::Continuation, Flags::FIN, b"lo");
    assert_eq!(ws.text(), "hello");
    ws.close(CloseCode::from(4321));
}

#[test]
fn invalid_frames_are_refused_with_the_right_code() {
    let (_server, uri) = serve(&[]);
    for (bytes, code) in [
        // A reserved opcode, a reserved bit, a missing mask, an impossible length, a fragmented control frame.
        (&b"\x83\x80\0\0\0\0"[..], CloseCode::PROTOCOL),
        (b"\xc1\x80\0\0\0\0", CloseCode::PROTOCOL),
        (b"\x81\x01x", CloseCode::PROTOCOL),
        (b"\x82\xff\x80\0\0\0\0\0\0\0", CloseCode::PROTOCOL),
        (b"\x09\x80\0\0\0\0", CloseCode::PROTOCOL),
        (b"\x82\xff\0\0\0\0\x7f\0\0\0\0\0\0\0", CloseCode::TOO_BIG),
        (b"\x81\x81\0\0\0\0\xff", CloseCode::INVALID_DATA),
        (b"\x88\x82\0\0\0\0\x03\xed", CloseCode::PROTOCOL),
    ] {
        let mut ws = WebSocket::open(&uri, "/ws", &[]);
        ws.raw(bytes);
        ws.expect_close(code);
    }
}

#[test]
fn compression_is_negotiated_only_if_enabled() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    let (_server, uri) = serve(&[]);
    let (response, _) = request_upgrade(&uri, "/ws", &[offer]);
    assert_eq!(
        (response.status, response.field("sec-websocket-extensions")),
        (101, None)
    );

    let (_server, uri) = serve(&["--ws-deflate"]);
    let (response, _) = request_upgrade(&uri, "/ws", &[offer]);
    let agreed = response
        .field("sec-websocket-extensions")
        .unwrap_or_default();
    assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
    let mut ws = WebSocket::open(&uri, "/ws", &[offer]);
    let text = "to be or not to be, ".repeat(1000);
    let mut deflater = Deflater::new(15);
    for _ in 0..3 {
        let mut small = Vec::new();
        assert!(deflater.compress(text.as_bytes(), &mut small, true));
        ws.frame(Opcode::Text, Flags::FIN | Flags::RSV1, &small);
        assert_eq!(ws.text(), text);
    }
    // Uncompressed messages are also accepted.
    ws.send(text.clone());
    assert_eq!(ws.text(), text);
}

#[test]
fn a_shutdown_closes_websockets_with_going_away() {
    let (server, uri) = serve(&[]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.send("hello");
    assert_eq!(ws.text(), "hello");
    server.signal(Signal::TERM);
    let close = CloseFrame::new(CloseCode::GOING_AWAY, "");
    assert_eq!(ws.event(), Event::Close(Some(close)));
    ws.frame(Opcode::Close, Flags::FIN, &1001_u16.to_be_bytes());
    assert_eq!(server.wait().status.code(), Some(0));
}
