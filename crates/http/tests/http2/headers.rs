//! Requests that violate the rules of headers (RFC 9113, section 8) are refused, and no handler is called.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request};

use crate::client::{Client, Received, extended_connect, request};
use crate::frames::*;

type Requests = Rc<RefCell<Vec<String>>>;

/// Returns a server that records its requests.
fn recording() -> (HttpServer, Requests) {
    let requests = Requests::default();
    let record = Rc::clone(&requests);
    let http = HttpServer::new();
    http.wrap(move |req: Request, next: uptick_http::Next| {
        record.borrow_mut().push(req.target().to_owned());
        next.run(req)
    });
    http.any("/{*path}", |req: Request| {
        req.host().unwrap_or("-").to_owned()
    });
    (http, requests)
}

/// A request with a name and a value that may be any bytes, after valid pseudo-headers.
fn with(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = block(&request("GET", "/"));
    block.extend_from_slice(&[0, name.len() as u8]);
    block.extend_from_slice(name);
    block.push(value.len() as u8);
    block.extend_from_slice(value);
    block
}

#[track_caller]
fn answer(block: &[u8]) -> (Received, usize) {
    let (http, requests) = recording();
    let mut client = Client::new(http);
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block));
    let response = client.response(1);
    assert!(client.go_aways.is_empty());
    // The connection is still usable.
    let next = [(":authority", "b.example")];
    let head = [&request("GET", "/")[..3], &next].concat();
    client.send(headers(3, END_STREAM, &head));
    assert_eq!(client.response(3).text(), "b.example");
    let handled = requests.borrow().len() - 1;
    (response, handled)
}

#[track_caller]
fn assert_malformed(block: &[u8]) {
    let (response, handled) = answer(block);
    let is_refused = response.reset == Some(ErrorCode::PROTOCOL_ERROR) || response.status == 400;
    assert!(is_refused, "{response:?}");
    assert_eq!(handled, 0, "a handler was called");
}

#[test]
fn valid_requests_are_handled() {
    for block in [
        block(&request("GET", "/")),
        with(b"te", b"trailers"),
        with(b"host", b"a.example"),
        with(b"x", b""),
        with(b"x", b"a\tb \xe4"),
        with(b"content-length", b"0"),
    ] {
        let (response, handled) = answer(&block);
        assert_eq!((response.status, handled), (200, 1), "{response:?}");
        assert_eq!(response.text(), "a.example");
    }
}

#[test]
fn malformed_names_and_values_are_refused() {
    for name in [
        &b""[..],
        b"X",
        b"a b",
        b"a:b",
        b"a\r",
        b"a\n",
        b"a\0",
        b"\xe4",
        b"a\x7f",
        b"a(",
        b" a",
    ] {
        assert_malformed(&with(name, b"v"));
    }
    for value in [
        &b"a\rb"[..],
        b"a\nb",
        b"a\0b",
        b"a\r\nx: y",
        b" a",
        b"a ",
        b"\ta",
    ] {
        assert_malformed(&with(b"x", value));
    }
}

#[test]
fn headers_of_a_connection_are_refused() {
    for (name, value) in [
        ("connection", "close"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        assert_malformed(&with(name.as_bytes(), value.as_bytes()));
    }
}

#[test]
fn a_content_length_must_be_one_valid_number() {
    for value in ["+0", "-1", "0x0", " 0", "", "1e1"] {
        assert_malformed(&with(b"content-length", value.as_bytes()));
    }
    let (response, handled) = answer(&with(b"content-length", b"18446744073709551616"));
    assert_eq!((response.status, handled), (413, 0));
    assert_eq!(response.text(), "the Content-Length is too large\n");
    let mut twice = with(b"content-length", b"0");
    twice.extend_from_slice(b"\0\x0econtent-length\x011");
    assert_malformed(&twice);
    // The length contradicts the end of the stream.
    assert_malformed(&with(b"content-length", b"1"));
}

#[test]
fn pseudo_headers_must_be_complete_unique_known_and_first() {
    let valid = request("GET", "/");
    for missing in 0..3 {
        let mut fields = valid.clone();
        fields.remove(missing);
        assert_malformed(&block(&fields));
    }
    for doubled in 0..4 {
        let mut fields = valid.clone();
        fields.push(valid[doubled]);
        assert_malformed(&block(&fields));
    }
    for extra in [
        (":status", "200"),
        (":unknown", "x"),
        (":protocol", "websocket"),
    ] {
        assert_malformed(&block(&[&valid[..], &[extra]].concat()));
    }
    assert_malformed(&block(&[&[("x", "y")], &valid[..]].concat()));
    for path in ["", "x", "http://a.example/", "*", "/a b", "/\u{7f}", "/a#b"] {
        assert_malformed(&block(&request("GET", path)));
    }
    assert_malformed(&block(&request("G ET", "/")));
    assert_malformed(&block(&request("", "/")));
}

#[test]
fn the_host_must_be_that_of_the_authority() {
    assert_malformed(&with(b"host", b"b.example"));
    for authority in [
        "a.example/x",
        "user@a.example",
        "a b",
        "a.example:99999",
        "a\u{0}b",
    ] {
        let mut fields = request("GET", "/");
        fields[3].1 = authority;
        assert_malformed(&block(&fields));
    }
    // Neither an authority nor a host.
    assert_malformed(&block(&request("GET", "/")[..3]));
    let mut twice = with(b"host", b"a.example");
    twice.extend_from_slice(b"\0\x04host\x09a.example");
    assert_malformed(&twice);
}

#[test]
fn an_extended_connect_without_its_parts_is_refused() {
    let valid = extended_connect("echo", "/");
    for missing in [1, 2, 3] {
        let mut fields = valid.clone();
        fields.remove(missing);
        let (http, requests) = recording();
        let mut client = Client::new(http);
        client.send(headers(1, 0, &fields));
        let response = client.response(1);
        let is_refused =
            response.reset == Some(ErrorCode::PROTOCOL_ERROR) || response.status == 400;
        assert!(is_refused, "{fields:?}: {response:?}");
        assert_eq!(requests.borrow().len(), 0);
    }
}

#[test]
fn a_body_that_contradicts_its_length_is_an_error_for_its_stream_only() {
    for (length, pieces) in [
        ("3", vec!["four"]),
        ("5", vec!["four"]),
        ("1", vec!["1", "2"]),
    ] {
        let http = HttpServer::new();
        http.post("/", |req: Request| async move { req.text().await });
        http.get("/", |_: Request| "other");
        let mut client = Client::new(http);
        let mut fields = request("POST", "/");
        fields.push(("content-length", length));
        let id = client.request(&fields, 0);
        let last = pieces.len() - 1;
        for (n, piece) in pieces.iter().enumerate() {
            client.data(id, piece, n == last);
        }
        let response = client.response(id);
        assert_eq!(
            response.reset,
            Some(ErrorCode::PROTOCOL_ERROR),
            "{response:?}"
        );
        assert_eq!(response.status, 0);
        let next = client.get("/");
        assert_eq!(client.response(next).text(), "other");
    }
}

#[test]
fn malformed_trailers_are_refused() {
    for (name, value) in [
        (":path", "/"),
        ("X", "y"),
        ("x", "a\r\nb"),
        ("connection", "close"),
    ] {
        let http = HttpServer::new();
        http.post("/", |req: Request| async move { req.text().await });
        let mut client = Client::new(http);
        let id = client.post("/");
        client.data(id, "body", false);
        client.send(headers(id, END_STREAM, &[(name, value)]));
        let response = client.response(id);
        assert_eq!(
            response.reset,
            Some(ErrorCode::PROTOCOL_ERROR),
            "{name}: {response:?}"
        );
    }
    // Without the end of the stream.
    let http = HttpServer::new();
    http.post("/", |req: Request| async move { req.text().await });
    let mut client = Client::new(http);
    let id = client.post("/");
    client.send(headers(id, 0, &[("x", "y")]));
    assert_eq!(client.response(id).reset, Some(ErrorCode::PROTOCOL_ERROR));
}

#[test]
fn invalid_header_compression_ends_the_connection() {
    let (http, requests) = recording();
    let mut client = Client::new(http);
    client.send(frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ));
    assert_eq!(client.closed(), ErrorCode::COMPRESSION_ERROR);
    assert!(requests.borrow().is_empty());
}

#[test]
fn a_head_that_exceeds_a_limit_is_answered() {
    let (http, requests) = recording();
    let mut client = Client::new(http);
    let long = "x".repeat(20_000);
    let path = format!("/{long}");
    let block = block(&request("GET", &path));
    let (first, rest) = block.split_at(16_000);
    client.send(frame(HEADERS, END_STREAM, 1, first));
    client.send(frame(CONTINUATION, END_HEADERS, 1, rest));
    assert_eq!(client.response(1).status, 414);
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("x{n}"), String::new())).collect();
    let mut fields = request("GET", "/");
    fields.extend(
        many.iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    client.send(headers(3, END_STREAM, &fields));
    assert_eq!(client.response(3).status, 431);
    assert!(requests.borrow().is_empty());
}
