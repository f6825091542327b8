//! Servers and clients that fail.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use uptick_http_client::{Browser, ProxyRoutes, Upstream};

use crate::support::{Proxy, TIMEOUT, ok, refusing, responding, server};

#[test]
fn a_server_that_cannot_be_reached_is_a_bad_gateway() {
    let (_reserved, url) = refusing();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    for _ in 0..5 {
        client.request("POST /", &["Content-Length: 1"]);
        client.send("x");
        let (head, body) = client.response();
        assert_eq!(head.status(), 502);
        assert!(!body.contains(&port) && !body.contains("ECONN"), "{body}");
        assert!(body.contains("Bad Gateway"), "{body}");
    }
}

#[test]
fn a_malformed_or_missing_response_is_a_bad_gateway() {
    let url = server(|mut peer| {
        let head = peer.head();
        if head.line.contains("malformed") {
            peer.send("HTTP/1.1 abc\r\n\r\n");
        } else if head.line.contains("head") {
            peer.send("HTTP/1.1 200 OK\r\nx-a");
        }
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    for path in ["/malformed", "/head", "/closed"] {
        let (head, body) = proxy.get(path);
        assert_eq!(head.status(), 502, "{path}");
        assert!(body.contains("Bad Gateway"), "{body}");
    }
}

#[test]
fn a_server_that_does_not_respond_is_a_gateway_timeout() {
    let url = server(|mut peer| {
        peer.head();
        peer.read_to_end();
    });
    let proxy = Proxy::start(move |http| {
        let browser = Browser::new().with_first_byte_timeout(Duration::from_millis(100));
        http.proxy("/", Upstream::new(&url).browser(&browser));
    });
    let (head, body) = proxy.get("/");
    assert_eq!(head.status(), 504);
    assert!(body.contains("Gateway Timeout"), "{body}");
}

#[test]
fn a_response_that_is_cut_ends_as_incomplete() {
    let url = server(|mut peer| {
        let head = peer.head();
        match &*head.line {
            line if line.contains("/length") => {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nstart");
            }
            _ => peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nstart\r\n"),
        }
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("GET /length", &[]);
    assert_eq!(client.head().get("content-length").unwrap(), "100");
    assert!(client.read_to_end() < 100);
    let mut client = proxy.connect();
    client.request("GET /chunked", &[]);
    let mut received = Vec::new();
    client.read_into(&mut received);
    assert!(!received.ends_with(b"0\r\n\r\n"), "the last chunk was sent");
}

#[test]
fn a_client_that_disconnects_cancels_its_request() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let url = server(move |mut peer| {
        let head = peer.head();
        if head.line.contains("/streaming") {
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nstart\r\n");
        } else if head.line.contains("/upload") {
            peer.bytes(5);
        }
        peer.read_to_end();
        report.lock().unwrap().send(head.line).unwrap();
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let client = proxy.connect();
    client.request("GET /waiting", &[]);
    std::thread::sleep(Duration::from_millis(100));
    drop(client);
    assert!(reported.recv_timeout(TIMEOUT).unwrap().contains("/waiting"));

    let mut client = proxy.connect();
    client.request("GET /streaming", &[]);
    client.head();
    assert_eq!(client.chunk(), "start");
    drop(client);
    let line = reported.recv_timeout(TIMEOUT).unwrap();
    assert!(line.contains("/streaming"));

    let client = proxy.connect();
    client.request("POST /upload", &["Content-Length: 10"]);
    client.send("start");
    std::thread::sleep(Duration::from_millis(100));
    drop(client);
    assert!(reported.recv_timeout(TIMEOUT).unwrap().contains("/upload"));
}

#[test]
fn the_proxy_continues_after_failures() {
    let url = responding(|head, _| match head.line.contains("/bad") {
        true => "nonsense\r\n\r\n".to_owned(),
        false => ok("good"),
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    for _ in 0..10 {
        client.request("GET /bad", &[]);
        assert_eq!(client.response().0.status(), 502);
        client.request("GET /good", &[]);
        assert_eq!(client.response().1, "good");
    }
}
