//! Failed handshakes are reported and do not affect other connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::version::{TLS12, TLS13};
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, TlsVersion};

use crate::support::{
    Identity, Log, address, client, client_with, connect, hang_up, join, logged, manual_clock, say,
    session, settle, tls_server, until,
};

/// Returns the text after the peer in the only line of the log.
#[track_caller]
fn failure(log: &Log, peer: SocketAddr) -> String {
    let lines = log.take();
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    let start = format!("TLS handshake with tcp://{peer} failed: ");
    line.strip_prefix(&start).unwrap_or(line).to_owned()
}

/// Returns a client's address and error when its handshake fails.
fn handshake_error(mut tls: crate::support::Client) -> (SocketAddr, String) {
    let result = tls.write_all(b"x").and_then(|()| tls.read(&mut [0; 8]));
    (tls.sock.local_addr().unwrap(), format!("{result:?}"))
}

#[track_caller]
fn plain(server: SecureServer, log: &Log, bytes: &[u8]) -> String {
    let mut client = connect(address(server));
    client.write_all(bytes).unwrap();
    until(|| log.len() == 1);
    // The connection closes.
    wait_for_end(&mut client);
    failure(log, client.local_addr().unwrap())
}

fn wait_for_end(client: &mut TcpStream) {
    client.set_nonblocking(true).unwrap();
    until(|| match client.read(&mut [0; 256]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    });
}

#[test]
fn errors_distinguish_other_protocols_from_malformed_tls() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    assert_eq!(
        plain(server, &log, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "the client sent plain HTTP, not TLS; it must use https://"
    );
    assert_eq!(
        plain(server, &log, b"PUT /x HTTP/1.1\r\n\r\n"),
        "the client sent plain HTTP, not TLS; it must use https://"
    );
    assert_eq!(
        plain(server, &log, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        "the client sent plain HTTP, not TLS; it must use https://"
    );
    assert_eq!(
        plain(server, &log, b"SSH-2.0-OpenSSH_9.2\r\n"),
        "the client did not speak TLS; it sent \"SSH-2.0-OpenSSH_9.2\""
    );
    assert_eq!(
        plain(server, &log, &[21, 3, 3, 0, 2, 2, 48]),
        "the client sent an alert instead of a ClientHello: it does not trust the certificate's issuer (UnknownCA)"
    );
    assert_eq!(
        plain(server, &log, &[23, 3, 3, 0, 2, 1, 2]),
        "the client sent ApplicationData instead of a ClientHello"
    );
    let broken = plain(
        server,
        &log,
        &[22, 3, 1, 0, 4, 1, 0, 0, 200, 22, 3, 1, 0, 0],
    );
    assert!(!broken.contains("not TLS"), "{broken}");
    // The server continues.
    join(client(server, identity.client(), |tls| say(tls, "hello")));
    until(|| log.len() >= 2);
    assert_eq!(log.take()[..2], ["connection", "hello"]);
}

#[test]
fn an_invalid_server_name_is_an_error() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let mut hello = Vec::new();
    session(identity.client()).write_tls(&mut hello).unwrap();
    let at = hello.windows(9).position(|name| name == b"localhost");
    hello[at.unwrap()] = b' ';
    assert_eq!(
        plain(server, &log, &hello),
        "the requested server name (SNI) is not a valid host name"
    );
}

#[test]
fn a_connection_closed_or_reset_during_the_handshake_is_an_error() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    for sent in [0, 1, 100] {
        let mut hello = Vec::new();
        session(identity.client()).write_tls(&mut hello).unwrap();
        let mut client = connect(address(server));
        client.write_all(&hello[..sent]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        until(|| log.len() == 1);
        assert_eq!(
            failure(&log, client.local_addr().unwrap()),
            "the client closed the connection before the handshake was complete"
        );
    }
    let client = connect(address(server));
    until(|| server.pending_handshakes() == 1);
    let peer = client.local_addr().unwrap();
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    until(|| log.len() == 1);
    assert_eq!(failure(&log, peer), "Connection reset by peer (ECONNRESET)");
    assert_eq!(server.pending_handshakes(), 0);
}

#[test]
fn the_error_of_a_reset_has_its_errno() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", |_: Connection| ());
    let log = Log::default();
    let seen = log.clone();
    server.on("error", move |error: Error| {
        seen.add(error.errno_name().unwrap_or("none"))
    });
    let client = connect(address(server));
    until(|| server.pending_handshakes() == 1);
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["ECONNRESET"]);
}

#[test]
fn a_client_without_a_version_or_protocol_in_common_is_refused() {
    let identity = Identity::new();
    let config = identity
        .context()
        .min_version(TlsVersion::V1_3)
        .load()
        .unwrap();
    let server = tls_server(config);
    let log = logged(server);
    let (peer, error) = join(client(
        server,
        identity.client_of(&[&TLS12]),
        handshake_error,
    ));
    until(|| log.len() == 1);
    assert_eq!(
        failure(&log, peer),
        "the client offers no supported TLS version"
    );
    assert!(error.contains("ProtocolVersion"), "{error}");
    join(client(server, identity.client_of(&[&TLS13]), |tls| {
        say(tls, "hello")
    }));
    until(|| log.has("hello"));

    let server = tls_server(
        identity
            .context()
            .alpn_protocols(["h2", "http/1.1"])
            .load()
            .unwrap(),
    );
    let log = logged(server);
    let mut config = identity.client();
    config.alpn_protocols = vec![b"imap".to_vec()];
    let (peer, error) = join(client(server, config.clone(), handshake_error));
    until(|| log.len() == 1);
    assert_eq!(
        failure(&log, peer),
        "the client offers no supported ALPN protocol"
    );
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let chosen = client(server, config, |mut tls| {
        tls.write_all(b"hello").unwrap();
        let chosen = tls.conn.alpn_protocol().unwrap().to_vec();
        hang_up(tls);
        chosen
    });
    assert_eq!(join(chosen), b"h2");
}

#[test]
fn a_client_without_a_cipher_suite_in_common_is_refused() {
    let identity = Identity::new();
    let server = tls_server(
        identity
            .context()
            .min_version(TlsVersion::V1_3)
            .load()
            .unwrap(),
    );
    let log = logged(server);
    let mut hello = Vec::new();
    session(identity.client_of(&[&TLS13]))
        .write_tls(&mut hello)
        .unwrap();
    // Record header, handshake header, version, random and session id come before the suites.
    let at = 5 + 4 + 2 + 32;
    let at = at + 1 + usize::from(hello[at]);
    let length = usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    hello[at + 2..at + 2 + length].fill(0xfa);
    assert_eq!(
        plain(server, &log, &hello),
        "the client offers no supported cipher suite"
    );
}

#[test]
fn the_error_for_a_client_that_does_not_trust_the_certificate_names_the_alert() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let untrusting = client_with(RootCertStore::empty(), &[&TLS13]);
    let (peer, _) = join(client(server, untrusting, handshake_error));
    until(|| log.len() == 1);
    assert_eq!(
        failure(&log, peer),
        "the client sent an alert: it does not trust the certificate's issuer (UnknownCA)"
    );
}

#[test]
fn a_handshake_has_ten_seconds_in_total() {
    let clock = manual_clock();
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let mut hello = Vec::new();
    session(identity.client()).write_tls(&mut hello).unwrap();
    let mut slow = connect(address(server));
    slow.write_all(&hello[..10]).unwrap();
    until(|| server.pending_handshakes() == 1);
    clock.advance(Duration::from_millis(9_990));
    settle();
    slow.write_all(&hello[10..20]).unwrap();
    settle();
    assert_eq!(log.len(), 0);
    clock.advance(Duration::from_millis(10));
    until(|| log.len() == 1);
    let peer = slow.local_addr().unwrap();
    assert_eq!(
        log.take(),
        [format!(
            "TLS handshake with tcp://{peer} timed out after 10s (ETIMEDOUT)"
        )]
    );
    wait_for_end(&mut slow);

    join(client(server, identity.client(), |tls| say(tls, "in time")));
    until(|| log.len() >= 2);
    assert_eq!(log.take()[..2], ["connection", "in time"]);
    server.close();
}

#[test]
fn the_timeout_can_be_changed_while_handshakes_are_in_progress() {
    let clock = manual_clock();
    let identity = Identity::new();
    let server = tls_server(identity.config()).handshake_timeout(None);
    let log = logged(server);
    let _slow = connect(address(server));
    until(|| server.pending_handshakes() == 1);
    clock.advance(Duration::from_secs(3600));
    settle();
    assert_eq!(log.len(), 0);
    let server = server.handshake_timeout(Duration::from_secs(1));
    until(|| log.len() == 1);
    assert_eq!(server.pending_handshakes(), 0);
}

#[test]
fn the_oldest_handshake_is_refused_when_too_many_are_in_progress() {
    let identity = Identity::new();
    let server = tls_server(identity.config()).max_handshakes(2);
    let log = logged(server);
    let mut first = connect(address(server));
    let _second = connect(address(server));
    until(|| server.pending_handshakes() == 2);
    join(client(server, identity.client(), |tls| say(tls, "hello")));
    wait_for_end(&mut first);
    until(|| log.has("hello"));
    let peer = first.local_addr().unwrap();
    assert_eq!(
        log.take()[0],
        format!(
            "TLS handshake with tcp://{peer} failed: 2 handshakes that began later are in progress, which is the limit"
        )
    );
    assert_eq!(server.pending_handshakes(), 1);
}

#[test]
fn closing_the_server_ends_its_handshakes_and_leaves_no_pending_work() {
    let clock = manual_clock();
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let mut client = connect(address(server));
    until(|| server.pending_handshakes() == 1);
    server.close();
    wait_for_end(&mut client);
    assert_eq!(log.take(), Vec::<String>::new());
    // The clock does not advance, so `run` would not return if a timer was left.
    run().unwrap();
    drop(clock);
}

#[test]
fn an_error_callback_that_panics_does_not_stop_the_server() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("error", |error: Error| panic!("{error}"));
    server.on("connection", |conn: Connection| conn.end_with("hello"));
    let mut plain = connect(address(server));
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait_for_end(&mut plain);
    let peer = client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(join(peer), "hello");
}
