//! The last records of a connection: `close_notify` and alerts, for every way in which a connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use uptick_socket::prelude::*;
use uptick_tls::{SecureConnector, SecureServer};

use crate::connecting::{outcome, to};
use crate::support::{
    Client, address, client, connect, drain, join, logged, manual_clock, secure_server, settle,
    until,
};

/// Reads to the end of a connection: `Ok` after a `close_notify`, an error without one.
fn end_of(tls: &mut Client) -> Result<String, ErrorKind> {
    let mut text = String::new();
    match tls.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(error.kind()),
    }
}

/// Sends a byte, and reads to the end of the connection.
fn end_after_byte(mut tls: Client) -> Result<String, ErrorKind> {
    tls.write_all(b"x").unwrap();
    end_of(&mut tls)
}

/// Returns the end of a connection for a client that sends a byte to a server with the `connection` listener `serve`.
fn end_where(serve: impl FnMut(Connection) + 'static) -> Result<String, ErrorKind> {
    let (identity, server) = secure_server();
    server.on("connection", serve);
    join(client(server, identity.client(), end_after_byte))
}

/// Returns the server's complete response to bytes that are not a handshake.
fn response_to(server: SecureServer, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address(server));
    socket.write_all(bytes).unwrap();
    let peer = std::thread::spawn(move || {
        let mut response = Vec::new();
        socket.read_to_end(&mut response).map(|_| response)
    });
    join(peer).unwrap()
}

#[test]
fn close_sends_close_notify() {
    for version in [&TLS12, &TLS13] {
        let (identity, server) = secure_server();
        server.on("connection", |conn: Connection| {
            conn.write("hello");
            conn.on("data", move |_: Bytes| conn.close());
        });
        let peer = client(server, identity.client_of(&[version]), end_after_byte);
        assert_eq!(join(peer), Ok("hello".to_owned()));
    }
}

#[test]
fn close_sends_no_close_notify_if_it_discards_bytes() {
    let end = end_where(|conn| {
        conn.on("data", move |_: Bytes| {
            conn.write("discarded");
            conn.close();
        });
    });
    assert_eq!(end, Err(ErrorKind::UnexpectedEof));
}

#[test]
fn reset_sends_no_close_notify() {
    let end = end_where(|conn| {
        conn.on("data", move |_: Bytes| conn.reset());
    });
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_callback_that_panics_sends_no_close_notify() {
    let end = end_where(|conn| {
        conn.on("error", |_: Error| ());
        conn.on("data", |_: Bytes| panic!("a callback that panics"));
    });
    assert_eq!(end, Err(ErrorKind::UnexpectedEof));
}

#[test]
fn a_client_that_closes_sends_close_notify() {
    let (identity, server) = secure_server();
    let log = logged(server);
    let connector = SecureConnector::new(to(server)).cafile(&identity.file);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    until(|| log.has("connection"));
    conn.close();
    until(|| log.has("close"));
    assert_eq!(log.take(), ["connection", "end", "close"]);
}

#[test]
fn a_fin_without_close_notify_is_answered_with_one() {
    for version in [&TLS12, &TLS13] {
        let (identity, server) = secure_server();
        let log = logged(server);
        let peer = client(server, identity.client_of(&[version]), |mut tls| {
            tls.write_all(b"half").unwrap();
            tls.sock.shutdown(Shutdown::Write).unwrap();
            end_of(&mut tls)
        });
        assert_eq!(join(peer), Ok(String::new()));
        until(|| log.has("close"));
    }
}

#[test]
fn a_shutdown_and_an_idle_timeout_send_close_notify() {
    let clock = manual_clock();
    let (identity, server) = secure_server();
    let log = logged(server);
    server.on("connection", |conn: Connection| {
        conn.set_idle_timeout(Some(Duration::from_secs(60)));
    });
    let silent = |mut tls: Client| {
        tls.flush().unwrap();
        end_of(&mut tls)
    };
    let peer = client(server, identity.client(), silent);
    until(|| log.has("connection"));
    clock.advance(Duration::from_secs(61));
    assert_eq!(join(peer), Ok(String::new()));

    let peer = client(server, identity.client(), silent);
    log.take();
    until(|| log.has("connection"));
    drop(server.shutdown(Duration::from_secs(1)));
    settle();
    clock.advance(Duration::from_secs(2));
    assert_eq!(join(peer), Ok(String::new()));
}

/// Sends without reading, so that the server closes with unread data. Then returns the received bytes, or an error after a reset.
fn keep_sending(mut socket: TcpStream) -> std::io::Result<Vec<u8>> {
    for _ in 0..64 {
        // Data sent after the server has closed is lost.
        let _ = socket.write_all(&[0; 16 * 1024]);
    }
    socket.shutdown(Shutdown::Write)?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    Ok(bytes)
}

const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

#[test]
fn the_alert_of_a_failed_handshake_reaches_a_client_that_keeps_sending() {
    let (_identity, server) = secure_server();
    let log = logged(server);
    let address = address(server);
    let peer = std::thread::spawn(move || {
        let mut socket = connect(address);
        socket.write_all(&[23, 3, 3, 0, 2, 1, 2])?;
        keep_sending(socket)
    });
    assert_eq!(join(peer).unwrap(), UNEXPECTED_MESSAGE);
    until(|| log.len() == 1);
}

#[test]
fn the_alert_of_a_failed_connection_reaches_a_client_that_keeps_sending() {
    let (identity, server) = secure_server();
    let log = logged(server);
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"whole").unwrap();
        // An unencrypted application data record of 20 bytes.
        tls.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
        let bytes = keep_sending(tls.sock.try_clone().unwrap()).unwrap();
        let mut bytes = &bytes[..];
        let mut alert = None;
        while tls.conn.read_tls(&mut bytes).unwrap() > 0 {
            alert = tls.conn.process_new_packets().err();
        }
        alert
    });
    assert_eq!(
        join(peer),
        Some(rustls::Error::AlertReceived(
            rustls::AlertDescription::BadRecordMac
        ))
    );
    until(|| log.has("close"));
    let lines = log.take();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[2].contains("cannot decrypt"), "{lines:?}");
}

#[test]
fn a_connection_is_closed_after_the_linger_time_if_the_peer_keeps_sending_after_an_alert() {
    let clock = manual_clock();
    let (identity, server) = secure_server();
    let log = logged(server);
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"whole").unwrap();
        tls.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
        tls.sock.write_all(&[0; 20]).unwrap();
        // The client's write half stays open.
        drain(tls.sock.try_clone().unwrap());
        tls
    });
    let tls = join(peer);
    assert!(!log.has("close"));
    clock.advance(Duration::from_millis(1200));
    until(|| log.has("close"));
    drop(tls);
}

#[test]
fn the_alert_of_a_client_reaches_a_server_that_keeps_sending() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept()?;
        let _ = socket.read(&mut [0; 4096])?;
        socket.write_all(&[23, 3, 3, 0, 2, 1, 2])?;
        keep_sending(socket)
    });
    let below = uptick_socket::FixedUriConnector::new(
        address.to_string(),
        uptick_socket::TcpConnector::new(),
    );
    let connector = SecureConnector::new(below.unwrap()).dangerous_accept_any_certificate();
    outcome(connector.connect("tls://localhost:443")).unwrap_err();
    let bytes = join(peer).unwrap();
    assert!(bytes.ends_with(&UNEXPECTED_MESSAGE), "{bytes:?}");
}

#[test]
fn a_first_message_other_than_a_client_hello_is_answered_with_unexpected_message() {
    let (_identity, server) = secure_server();
    let log = logged(server);
    for (what, bytes) in [
        ("application data", &[23, 3, 3, 0, 2, 1, 2][..]),
        ("a ChangeCipherSpec", &[20, 3, 3, 0, 1, 1]),
        ("a Finished", &[22, 3, 1, 0, 5, 20, 0, 0, 1, 0]),
        ("a ServerHello done", &[22, 3, 1, 0, 4, 14, 0, 0, 0]),
        ("a HelloRequest", &[22, 3, 1, 0, 4, 0, 0, 0, 0]),
        (
            "an unassigned handshake type",
            &[22, 3, 1, 0, 4, 99, 0, 0, 0],
        ),
        ("a heartbeat", &[24, 3, 3, 0, 3, 1, 0, 0]),
    ] {
        assert_eq!(response_to(server, bytes), UNEXPECTED_MESSAGE, "{what}");
    }
    assert_eq!(log.len(), 7);
    // An alert is not answered with one.
    assert_eq!(response_to(server, &[21, 3, 3, 0, 2, 2, 48]), [0_u8; 0]);
}
