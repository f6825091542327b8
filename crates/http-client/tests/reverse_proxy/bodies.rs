//! Streaming in both directions.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use uptick_http_client::{ProxyRoutes, Upstream};

use crate::support::{Proxy, TIMEOUT, ok, responding, server};

#[test]
fn bodies_are_streamed_as_they_arrive() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let (proceed, proceeding) = channel::<()>();
    let proceeding = Mutex::new(proceeding);
    let url = server(move |mut peer| {
        let head = peer.head();
        assert_eq!(head.get("transfer-encoding").unwrap(), "chunked");
        loop {
            let chunk = peer.chunk();
            report.lock().unwrap().send(chunk.clone()).unwrap();
            if chunk.is_empty() {
                break;
            }
        }
        assert_eq!(peer.line(), "");
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for text in ["four", "five", ""] {
            proceeding.lock().unwrap().recv().unwrap();
            peer.send(format!("{:x}\r\n{text}\r\n", text.len()));
        }
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("POST /", &["Transfer-Encoding: chunked"]);
    for text in ["one", "three", "a longer piece"] {
        client.send(format!("{:x}\r\n{text}\r\n", text.len()));
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap(), text);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.head().status(), 200);
    for text in ["four", "five", ""] {
        proceed.send(()).unwrap();
        assert_eq!(client.chunk(), text);
    }
}

#[test]
fn a_body_with_a_length_keeps_it() {
    let url = responding(|head, body| {
        let length = head.get("content-length").unwrap();
        ok(&format!(
            "{length} {} {}",
            body.len(),
            head.get("transfer-encoding").is_none()
        ))
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("PUT /", &["Content-Length: 100000"]);
    client.send("x".repeat(40_000));
    std::thread::sleep(Duration::from_millis(50));
    client.send("x".repeat(60_000));
    assert_eq!(client.response().1, "100000 100000 true");
    client.request("POST /", &["Content-Length: 0"]);
    assert_eq!(client.response().1, "0 0 true");
}

#[test]
fn trailers_are_passed_on() {
    let url = server(|mut peer| {
        let head = peer.head();
        assert_eq!(head.get("te").unwrap(), "trailers");
        while !peer.chunk().is_empty() {}
        assert_eq!(peer.line(), "x-request: 1");
        assert_eq!(peer.line(), "");
        peer.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-response\r\n\r\n\
             1\r\na\r\n0\r\nx-response: 2\r\nconnection: close\r\n\r\n",
        );
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("POST /", &["Transfer-Encoding: chunked", "TE: trailers"]);
    client.send("1\r\na\r\n0\r\nX-Request: 1\r\n\r\n");
    assert_eq!(client.head().get("trailer").unwrap(), "x-response");
    assert_eq!(
        (client.chunk(), client.chunk()),
        ("a".into(), String::new())
    );
    assert_eq!(client.line(), "x-response: 2");
    assert_eq!(client.line(), "");
}

#[test]
fn a_server_that_does_not_read_slows_down_the_client() {
    let (proceed, proceeding) = channel::<()>();
    let proceeding = Mutex::new(proceeding);
    let url = server(move |mut peer| {
        let head = peer.head();
        proceeding.lock().unwrap().recv().unwrap();
        let length: usize = head.get("content-length").unwrap().parse().unwrap();
        let body = peer.bytes(length);
        peer.send(ok(&body.len().to_string()));
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    let length = 100_000_000;
    client.request("POST /", &[&format!("Content-Length: {length}")]);
    let sent = client.fill(length);
    assert!(sent < 40_000_000, "{sent} bytes were accepted");
    proceed.send(()).unwrap();
    client.send("x".repeat(length - sent));
    assert_eq!(client.response().1, length.to_string());
}

#[test]
fn a_client_that_does_not_read_slows_down_the_server() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let length = 100_000_000;
    let url = server(move |mut peer| {
        peer.head();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        let sent = peer.fill(length);
        report.lock().unwrap().send(sent).unwrap();
        peer.send("x".repeat(length - sent));
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("GET /", &[]);
    let sent = reported.recv().unwrap();
    assert!(sent < 40_000_000, "{sent} bytes were accepted");
    let head = client.head();
    assert_eq!(client.body(&head).len(), length);
}

#[test]
fn the_client_waits_for_100_continue_of_the_server() {
    let url = server(|mut peer| {
        let head = peer.head();
        assert_eq!(head.get("expect").unwrap(), "100-continue");
        if head.line.contains("refused") {
            return peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.body(&head);
        peer.send(ok(&body));
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let headers = ["Content-Length: 3", "Expect: 100-continue"];
    let mut client = proxy.connect();
    client.request("POST /refused", &headers);
    assert_eq!(client.head().status(), 403);
    let mut client = proxy.connect();
    client.request("POST /", &headers);
    assert_eq!(client.head().status(), 100);
    client.send("abc");
    assert_eq!(client.response().1, "abc");
}

#[test]
fn an_early_response_is_passed_on() {
    let url = server(|mut peer| {
        peer.head();
        peer.bytes(10);
        peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    client.request("POST /", &["Content-Length: 1000000"]);
    client.send("x".repeat(1000));
    let (head, body) = client.response();
    assert_eq!((head.status(), &*body), (413, "no"));
}

#[test]
fn the_size_of_a_body_is_limited() {
    let url = responding(|_, body| ok(body));
    let proxy = Proxy::start(move |http| {
        http.proxy("/", Upstream::new(&url).body_limit(10));
    });
    let mut client = proxy.connect();
    client.request("POST /", &["Content-Length: 10"]);
    client.send("0123456789");
    assert_eq!(client.response().1, "0123456789");
    client.request("POST /", &["Content-Length: 11"]);
    assert_eq!(client.head().status(), 413);
    let mut client = proxy.connect();
    client.request("POST /", &["Transfer-Encoding: chunked"]);
    client.send("8\r\n01234567\r\n8\r\n01234567\r\n");
    assert_eq!(client.head().status(), 413);
}

#[test]
fn connections_to_the_server_are_used_again() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let accepted = std::sync::Arc::clone(&count);
    let url = server(move |mut peer| {
        accepted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        loop {
            let head = peer.head();
            if head.line.is_empty() {
                return;
            }
            peer.body(&head);
            peer.send(ok("again"));
        }
    });
    let proxy = Proxy::start(move |http| http.proxy("/", Upstream::new(&url)));
    let mut client = proxy.connect();
    for _ in 0..20 {
        client.request("POST /", &["Content-Length: 1"]);
        client.send("x");
        assert_eq!(client.response().1, "again");
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
}
