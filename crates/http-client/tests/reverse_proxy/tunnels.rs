//! WebSockets through the proxy.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use uptick_http_client::{ProxyRoutes, Upstream};

use crate::support::{Head, Peer, Proxy, TIMEOUT, server};

const HANDSHAKE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

fn switch(peer: &Peer, head: &Head) {
    assert_eq!(head.get("upgrade").unwrap(), "websocket");
    assert!(
        head.get("connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
    let key = head.get("sec-websocket-key").unwrap();
    assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
    // The first bytes of the new protocol follow the head at once.
    peer.send(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\nhello\n",
    );
}

fn proxy(handler: impl Fn(Peer) + Send + Sync + 'static) -> Proxy {
    let url = server(handler);
    Proxy::start(move |http| {
        let upstream = Upstream::new(&url).tunnel_idle_timeout(Duration::from_secs(2));
        http.proxy("/ws/", upstream);
    })
}

fn open(proxy: &Proxy) -> Peer {
    let mut client = proxy.connect();
    client.request("GET /ws/", &HANDSHAKE);
    let head = client.head();
    assert_eq!(head.status(), 101);
    assert_eq!(
        head.get("sec-websocket-accept").unwrap(),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(head.get("sec-websocket-protocol").unwrap(), "chat");
    assert_eq!(client.line(), "hello");
    client
}

#[test]
fn bytes_pass_in_both_directions_and_each_direction_ends_by_itself() {
    let proxy = proxy(|mut peer| {
        let head = peer.head();
        switch(&peer, &head);
        while let line = peer.line()
            && !line.is_empty()
        {
            peer.send(format!("{line}!\n"));
        }
        // The client has half-closed.
        peer.send("bye\n");
    });
    let mut client = open(&proxy);
    for text in ["one", "two", &"x".repeat(100_000)] {
        client.send(format!("{text}\n"));
        assert_eq!(client.line(), format!("{text}!"));
    }
    client.finish();
    assert_eq!(client.line(), "bye");
    assert_eq!(client.read_to_end(), 0);
}

#[test]
fn bytes_sent_with_the_handshake_are_passed_on() {
    let proxy = proxy(|mut peer| {
        let head = peer.head();
        switch(&peer, &head);
        let line = peer.line();
        peer.send(line + "\n");
    });
    let mut client = proxy.connect();
    let handshake = HANDSHAKE.join("\r\n");
    client.send(format!(
        "GET /ws/ HTTP/1.1\r\nHost: a\r\n{handshake}\r\n\r\nearly\n"
    ));
    assert_eq!(client.head().status(), 101);
    assert_eq!(client.line(), "hello");
    assert_eq!(client.line(), "early");
}

#[test]
fn a_slow_side_slows_down_the_other_one() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let size = 100_000_000;
    let proxy = proxy(move |mut peer| {
        let head = peer.head();
        switch(&peer, &head);
        let sent = peer.fill(size);
        report.lock().unwrap().send(sent).unwrap();
        peer.send("x".repeat(size - sent));
    });
    let mut client = open(&proxy);
    let sent = reported.recv_timeout(TIMEOUT).unwrap();
    assert!(sent < 40_000_000, "{sent} bytes were accepted");
    assert_eq!(client.read_to_end(), size);
}

#[test]
fn a_reset_or_a_close_ends_the_other_side() {
    let (report, reported) = channel();
    let report = Mutex::new(report);
    let proxy = proxy(move |mut peer| {
        let head = peer.head();
        switch(&peer, &head);
        peer.read_to_end();
        report.lock().unwrap().send(()).unwrap();
    });
    let client = open(&proxy);
    drop(client);
    reported.recv_timeout(TIMEOUT).unwrap();
}

#[test]
fn an_idle_tunnel_is_closed() {
    let proxy = proxy(|mut peer| {
        let head = peer.head();
        switch(&peer, &head);
        peer.read_to_end();
    });
    let mut client = open(&proxy);
    client.read_to_end();
}

#[test]
fn a_refused_handshake_is_an_ordinary_response() {
    let proxy = proxy(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    });
    let mut client = proxy.connect();
    client.request("GET /ws/", &HANDSHAKE);
    let (head, body) = client.response();
    assert_eq!((head.status(), &*body), (403, "no"));
}

#[test]
fn an_unasked_switch_of_protocols_is_a_bad_gateway() {
    let proxy = proxy(|mut peer| {
        peer.head();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n",
        );
        peer.read_to_end();
    });
    assert_eq!(proxy.get("/ws/").0.status(), 502);
    let mut client = proxy.connect();
    client.request("GET /ws/", &HANDSHAKE);
    assert_eq!(client.response().0.status(), 502);
}
