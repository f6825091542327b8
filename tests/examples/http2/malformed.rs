//! Tests of malformed HTTP/2: a malformed request resets its stream, a malformed frame closes its connection.

use std::thread;
use std::time::Duration;

use super::serve;
use super::wire::{
    CONTINUATION, DATA, HEADERS, Http2Client, PING, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, head,
};

const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// Checks that a request is refused, and that the connection remains usable.
#[track_caller]
fn expect_refusal(client: &mut Http2Client, fields: &[(&str, &str)], body: Option<&[u8]>) {
    let stream = client.request(fields, body.is_none());
    if let Some(body) = body {
        client.data(stream, body, true);
    }
    let response = client.response(stream);
    let is_refused = response.status == 400 || response.reset == Some(PROTOCOL_ERROR);
    assert!(is_refused, "{fields:?}: {response:?}");
    let hello = client.get("/hello");
    assert_eq!(client.response(hello).text(), "hello world\n", "{fields:?}");
    assert!(client.go_aways.is_empty());
}

#[test]
fn headers_of_http1_connections_are_refused() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    for field in [
        ("connection", "close"),
        ("connection", "x"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("X-Upper", "a"),
        ("x-probe", " a"),
        ("x-probe", "a "),
        ("x-probe", "\ta"),
        ("x-probe", "a\r\nx-evil: b"),
        ("x-probe\r\nx-evil", "a"),
        ("x-probe: a\r\nx-evil", "b"),
        ("x-probe ", "a"),
        ("host", "b.example"),
    ] {
        let fields = [&head("GET", "/header")[..], &[field]].concat();
        expect_refusal(&mut client, &fields, None);
    }
    let fields = [&head("GET", "/header")[..], &[("te", "trailers")]].concat();
    let stream = client.request(&fields, true);
    assert_eq!(client.response(stream).status, 200);
}

#[test]
fn invalid_pseudo_headers_are_refused() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    let [method, scheme, path, authority] = head("GET", "/hello");
    for fields in [
        &[scheme, path, authority][..],
        &[method, path, authority],
        &[method, scheme, authority],
        &[method, scheme, path],
        &[method, method, scheme, path, authority],
        &[method, scheme, path, path, authority],
        &[method, scheme, path, authority, authority],
        &[method, scheme, ("x", "y"), path, authority],
        &[method, scheme, path, authority, (":status", "200")],
        &[method, scheme, path, authority, (":unknown", "x")],
        &[method, scheme, path, authority, (":protocol", "websocket")],
        &[(":method", ""), scheme, path, authority],
        &[
            (":method", "GET /evil HTTP/1.1\r\nx:"),
            scheme,
            path,
            authority,
        ],
        &[method, (":scheme", ""), path, authority],
        &[method, scheme, (":path", ""), authority],
        &[method, scheme, (":path", "hello"), authority],
        &[method, scheme, (":path", "/hello HTTP/1.1"), authority],
        &[method, scheme, (":path", "/hello\r\nx: y"), authority],
        &[method, scheme, path, (":authority", "")],
        &[method, scheme, path, (":authority", "a\r\nx: y")],
        &[(":method", "CONNECT"), scheme, path, authority],
        &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            authority,
        ],
    ] {
        expect_refusal(&mut client, fields, None);
    }
}

#[test]
fn a_body_that_contradicts_its_length_is_refused() {
    let (_server, uri) = serve(&[]);
    let mut client = Http2Client::connect(&uri);
    for (length, body) in [("4", "hello"), ("6", "hello"), ("0", "hello"), ("5", "")] {
        let fields = [&head("POST", "/echo")[..], &[("content-length", length)]].concat();
        expect_refusal(&mut client, &fields, Some(body.as_bytes()));
    }
    let fields = [&head("POST", "/echo")[..], &[("content-length", "5")]].concat();
    expect_refusal(&mut client, &fields, None);
    // Pseudo-headers are not trailers, and trailers end the request.
    for (trailer, end) in [((":path", "/evil"), true), (("x-trailer", "done"), false)] {
        let stream = client.request(&head("POST", "/echo"), false);
        client.data(stream, b"body", false);
        client.fields(stream, &[trailer], end);
        assert_eq!(client.response(stream).reset, Some(PROTOCOL_ERROR));
        client.ping();
    }
}

#[test]
fn malformed_frames_close_only_their_connection() {
    let (_server, uri) = serve(&[]);
    let mut other = Http2Client::connect(&uri);
    for (kind, flags, stream, payload, code) in [
        (DATA, 0, 0, &b"x"[..], PROTOCOL_ERROR),
        (DATA, 0, 5, b"x", PROTOCOL_ERROR),
        (HEADERS, 5, 0, b"\x82", PROTOCOL_ERROR),
        (HEADERS, 5, 2, b"\x82", PROTOCOL_ERROR),
        (
            HEADERS,
            5,
            1,
            b"\xff\xff\xff\xff\xff\xff",
            COMPRESSION_ERROR,
        ),
        (HEADERS, 0x0d, 1, b"\x09\x82", PROTOCOL_ERROR),
        (CONTINUATION, 4, 1, b"\x82", PROTOCOL_ERROR),
        (RST_STREAM, 0, 1, b"\0\0\0\0", PROTOCOL_ERROR),
        (RST_STREAM, 0, 1, b"\0", FRAME_SIZE_ERROR),
        (SETTINGS, 0, 0, b"12345", FRAME_SIZE_ERROR),
        (SETTINGS, 1, 0, b"123456", FRAME_SIZE_ERROR),
        (SETTINGS, 0, 1, b"", PROTOCOL_ERROR),
        (
            SETTINGS,
            0,
            0,
            b"\0\x04\xff\xff\xff\xff",
            FLOW_CONTROL_ERROR,
        ),
        (PING, 0, 0, b"1234567", FRAME_SIZE_ERROR),
        (PING, 0, 1, b"12345678", PROTOCOL_ERROR),
        (WINDOW_UPDATE, 0, 0, b"\0\0\0\0", PROTOCOL_ERROR),
        (WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff", FLOW_CONTROL_ERROR),
        // PUSH_PROMISE.
        (5, 4, 1, b"\0\0\0\x02\x82", PROTOCOL_ERROR),
        // A frame of 16 KiB + 1.
        (DATA, 0, 1, &[0; 16_385], FRAME_SIZE_ERROR),
    ] {
        let mut client = Http2Client::connect(&uri);
        client.frame(kind, flags, stream, payload);
        client.wait(|_| false);
        let found = client.go_aways.last().map(|(_, code)| *code);
        assert_eq!(found, Some(code), "{kind} {flags} {stream} {payload:.20?}");
        let hello = other.get("/hello");
        assert_eq!(other.response(hello).status, 200);
    }
    // Unknown frames, flags and settings are ignored.
    other.frame(0xbe, 0xff, 7, b"anything");
    other.frame(SETTINGS, 0, 0, b"\xff\xff\0\0\0\x01");
    other.ping();
}

#[test]
fn the_preface_is_recognised_in_pieces_and_refused_if_it_is_malformed() {
    let (_server, uri) = serve(&[]);
    let mut client = crate::http::Client::connect(&uri);
    for piece in [
        &b"P"[..],
        b"RI * HT",
        b"TP/2.0\r\n\r",
        b"\nSM\r\n\r\n\0\0\0\x04\0\0",
        b"\0\0\0",
    ] {
        client.send(piece);
        thread::sleep(Duration::from_millis(20));
    }
    // The header of SETTINGS.
    assert_eq!(client.bytes(9)[3], SETTINGS);
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "PRI * HTTP/2.0\r\nhost: a\r\n\r\n",
        "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
        "PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = crate::http::Client::connect(&uri);
        client.try_send(preface);
        client.try_send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        let rest = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        assert!(!rest.contains("hello world"), "{preface:?}: {rest}");
    }
    assert_eq!(crate::http::get(&uri, "/hello").status, 200);
}
