//! The preface on a port that serves both versions.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use uptick_http::HttpServer;
use uptick_socket::Connection;

use crate::client::{Client, request, server};
use crate::frames::*;
use crate::support::settle;

/// Sends pieces, and returns the received bytes and whether the server has closed the connection.
fn exchange<'a>(http: HttpServer, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let (mut socket, other) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    http.serve(Connection::adopt(other).unwrap());
    for piece in pieces {
        socket.write_all(piece).unwrap();
        settle();
    }
    let mut received = Vec::new();
    let end = socket.read_to_end(&mut received);
    let is_open = end.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    (received, !is_open)
}

/// Returns the payloads of DATA frames.
fn bodies(received: &[u8]) -> String {
    let sent = frames(received).into_iter();
    let data = sent.filter(|sent| sent.kind == DATA);
    data.map(|sent| String::from_utf8(sent.payload).unwrap())
        .collect()
}

#[test]
fn the_preface_is_recognised_in_any_division() {
    let http = server();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let get = headers(1, END_STREAM, &request("GET", "/"));
    let input = [PREFACE, &settings[..], &get[..]].concat();
    for first in 1..input.len() {
        let (one, two) = input.split_at(first);
        let (received, closed) = exchange(http, [one, two]);
        assert_eq!(bodies(&received), "hello", "{first}");
        assert!(!closed);
    }
    let (received, _) = exchange(http, input.chunks(1));
    assert_eq!(bodies(&received), "hello");
    let all = input.len() as u64;
    assert_eq!(http.stats().http2_connections, all);
    assert_eq!(http.stats().connections, all);
    assert_eq!(
        (http.stats().http2_requests, http.stats().requests),
        (all, all)
    );
}

#[test]
fn other_requests_whose_method_starts_like_the_preface_are_requests_of_http_1() {
    let http = HttpServer::new();
    for method in [
        "P", "PR", "PRI2", "PRIM", "PUT", "POST", "PROPFIND", "PATCH",
    ] {
        http.method(method, "/", |_: uptick_http::Request| "http 1");
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        let request = request.as_bytes();
        for first in 1..6 {
            let (one, two) = request.split_at(first);
            let (received, closed) = exchange(http, [one, two]);
            let text = String::from_utf8_lossy(&received).into_owned();
            assert!(
                text.starts_with("HTTP/1.1 200") && text.ends_with("http 1"),
                "{method}: {text}"
            );
            assert!(!closed);
        }
        let (received, _) = exchange(http, request.chunks(1));
        assert!(received.ends_with(b"http 1"), "{method}");
    }
    assert_eq!(http.stats().http2_connections, 0);
}

#[test]
fn a_start_like_the_preface_without_the_rest_ends_the_connection() {
    let http = server();
    for rest in [
        "/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "* HTTP/2.0\r\n\r\nSM\r\n\rx",
    ] {
        let (received, closed) = exchange(http, [b"PRI ".as_slice(), rest.as_bytes()]);
        let sent = frames(&received);
        let codes = sent
            .iter()
            .filter(|sent| sent.kind == GOAWAY)
            .map(|sent| sent.word(4));
        assert_eq!(codes.collect::<Vec<_>>(), [1]);
        assert!(!closed || received.len() > 9);
    }
    assert_eq!(http.stats().requests, 0);
}

#[test]
fn a_client_that_ends_within_the_preface_is_closed() {
    for length in 1..PREFACE.len() {
        let mut client = Client::silent(server());
        client.send(&PREFACE[..length]);
        client.end();
        assert!(client.is_closed(), "{length}");
        assert!(!client.conn.is_open());
    }
}

#[test]
fn the_preface_is_an_invalid_request_if_http_2_is_off() {
    let http = server().http2(false);
    let (received, closed) = exchange(http, [PREFACE]);
    assert!(
        received.starts_with(b"HTTP/1.1 505") || received.starts_with(b"HTTP/1.1 400"),
        "{received:?}"
    );
    assert!(closed || !received.is_empty());
    assert_eq!(http.stats().http2_connections, 0);
}

#[test]
fn the_preface_after_a_request_of_http_1_is_an_invalid_request() {
    let http = server();
    let first = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (received, _) = exchange(http, [first.as_bytes(), PREFACE]);
    let text = String::from_utf8_lossy(&received).into_owned();
    assert!(text.starts_with("HTTP/1.1 200"));
    assert_eq!(text.matches("HTTP/1.1 ").count(), 2, "{text}");
    assert_eq!(http.stats().http2_connections, 0);
}
