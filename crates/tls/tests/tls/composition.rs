//! Servers that wrap each other.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use rustls::StreamOwned;
use uptick_socket::prelude::*;
use uptick_tls::SecureServer;

use crate::support::{
    Identity, Log, address, client, connect, drain, join, logged, say, session, until,
};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";

fn hello(server: impl ServerInterface, identity: &Identity) -> String {
    join(client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        let _ = tls.read_to_string(&mut text);
        text
    }))
}

#[test]
fn a_limiting_server_over_tls_over_a_proxy_header_uses_the_clients_address() {
    let identity = Identity::new();
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let behind = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let secure = SecureServer::new(behind, identity.config());
    let server = LimitingServer::new(secure, 10, false).limit_per_client(1);
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        seen.add(conn.remote_address().unwrap());
        seen.add(conn.local_address().unwrap());
        conn.write("hello");
    });
    let seen = log.clone();
    server.on("error", move |error: Error| seen.add(error));
    let to = address(server);
    let config = identity.client();
    let peer = thread::spawn(move || {
        // The header and the first flight are sent in one segment.
        let mut tls = session(config.clone());
        let mut first = HEADER.to_vec();
        tls.write_tls(&mut first).unwrap();
        let mut socket = connect(to);
        socket.write_all(&first).unwrap();
        let mut first = StreamOwned::new(tls, socket);
        let mut text = [0; 5];
        first.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        // A second connection of the same client exceeds the limit.
        let mut socket = connect(to);
        socket.write_all(HEADER).unwrap();
        let mut second = StreamOwned::new(session(config), socket);
        second
            .write_all(b"x")
            .and_then(|()| second.read_exact(&mut text))
            .is_err()
    });
    assert!(join(peer));
    until(|| log.len() == 3);
    let lines = log.take();
    assert_eq!(lines[..2], ["tls://192.0.2.7:4711", "tls://192.0.2.1:443"]);
    assert!(
        lines[2].starts_with("connection from tcp://192.0.2.7:4711 refused: 1 connections"),
        "{}",
        lines[2]
    );
}

#[test]
fn a_limiting_server_below_tls_counts_handshakes_as_connections() {
    let identity = Identity::new();
    let limiting = LimitingServer::new(Server::bind("127.0.0.1:0").unwrap(), 1, false);
    let server = SecureServer::new(limiting, identity.config());
    let log = logged(server);
    let held = connect(address(server));
    until(|| server.pending_handshakes() == 1);
    assert_eq!(hello(server, &identity), "");
    let text = log.take().remove(0);
    assert!(text.contains("refused: 1 connections are open"), "{text}");
    drop(held);
    until(|| limiting.open_connections() == 0);
    log.take();
    join(client(server, identity.client(), |tls| say(tls, "hi")));
    until(|| log.has("hi"));
}

#[test]
fn a_connection_is_counted_by_the_server_when_its_handshake_is_complete() {
    let identity = Identity::new();
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let secure = SecureServer::new(inner, identity.config());
    let server = AnyServer::from(secure);
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |_: Connection| seen.add("connection"));
    let held = connect(address(server));
    let ready = client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap_or_default();
    });
    until(|| log.len() == 1 && secure.pending_handshakes() == 1);
    assert_eq!(inner.open_connections(), 2);
    assert_eq!(secure.open_connections(), 1);
    assert_eq!(server.open_connections(), 1);
    let connections = server.connections();
    assert_eq!(connections, secure.connections());
    assert_eq!(connections.len(), 1);
    assert!(connections[0].is_secure());
    connections[0].end();
    join(ready);
    drop(held);
    until(|| server.open_connections() == 0 && inner.open_connections() == 0);
}

#[test]
fn a_proxy_header_inside_tls_is_parsed() {
    let identity = Identity::new();
    let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), identity.config());
    let server = ProxyProtocolServer::new(secure, ProxyProtocolOptions::new());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        seen.add(conn.remote_address().unwrap());
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(&[HEADER, b"echo"].concat()).unwrap();
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(join(peer), "echo");
    assert_eq!(log.take(), ["tls://192.0.2.7:4711"]);
}

#[test]
fn the_error_of_a_failed_handshake_through_a_proxy_names_the_client() {
    let identity = Identity::new();
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let behind = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let server = SecureServer::new(behind, identity.config());
    let log = logged(server);
    let mut plain = connect(address(server));
    plain
        .write_all(&[HEADER, b"GET / HTTP/1.1\r\n\r\n"].concat())
        .unwrap();
    until(|| log.len() == 1);
    assert_eq!(
        log.take(),
        [
            "TLS handshake with tcp://192.0.2.7:4711 failed: the client sent plain HTTP, not TLS; it must use https://"
        ]
    );
}

#[test]
fn the_error_of_a_connection_through_a_proxy_names_the_clients_address() {
    let identity = Identity::new();
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let behind = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let server = SecureServer::new(behind, identity.config());
    let log = logged(server);
    let to = address(server);
    let config = identity.client();
    let peer = thread::spawn(move || {
        let mut socket = connect(to);
        socket.write_all(HEADER).unwrap();
        let mut tls = StreamOwned::new(session(config), socket);
        tls.write_all(b"hello").unwrap();
        tls.sock.shutdown(Shutdown::Write).unwrap();
        drain(tls.sock);
    });
    join(peer);
    until(|| log.has("close"));
    let lines = log.take();
    assert!(
        lines[2].starts_with("TLS connection with tls://192.0.2.7:4711 failed: "),
        "{lines:?}"
    );
}
