//! Encrypted connections behave like unencrypted ones.

use std::io::{Read, Write};
use std::net::Shutdown;

use rustls::version::{TLS12, TLS13};
use uptick_socket::engine::Engine;
use uptick_socket::prelude::*;

use crate::support::{
    Identity, Log, client, drain, hang_up, join, logged, settle, tls_server, until,
};

#[test]
fn a_connection_is_announced_after_its_handshake_with_tls_addresses() {
    for version in [&TLS12, &TLS13] {
        let identity = Identity::new();
        let server = tls_server(identity.config());
        assert!(server.address().unwrap().starts_with("tls://127.0.0.1:"));
        let log = Log::default();
        let seen = log.clone();
        server.on("connection", move |conn: Connection| {
            assert!(conn.is_secure());
            seen.add(conn.remote_address().unwrap());
            conn.on("data", move |chunk: Bytes| conn.write(chunk));
        });
        let client = client(server, identity.client_of(&[version]), |mut tls| {
            tls.write_all(b"hello").unwrap();
            let mut response = [0; 5];
            tls.read_exact(&mut response).unwrap();
            assert_eq!(&response, b"hello");
            tls.sock.local_addr().unwrap()
        });
        let address = join(client);
        assert_eq!(log.take(), [format!("tls://{address}")]);
        server.close();
    }
}

#[test]
fn the_end_of_each_side_is_sent_and_received() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"bye").unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        // `read` would be an error without the server's close_notify.
        assert_eq!(tls.read(&mut [0; 8]).unwrap(), 0);
    });
    join(peer);
    until(|| log.has("close"));
    assert_eq!(log.take(), ["connection", "bye", "end", "close"]);

    let server = tls_server(identity.config());
    server.on("connection", |conn: Connection| conn.end_with("last words"));
    let peer = client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(join(peer), "last words");
}

#[test]
fn a_side_that_has_ended_can_still_read() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        conn.write("all");
        conn.shutdown_write();
        let log = seen.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(String::from_utf8_lossy(&chunk))
        });
        let log = seen.clone();
        conn.on("close", move |()| log.add("close"));
    });
    let peer = client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all");
        tls.write_all(b"after").unwrap();
        hang_up(tls);
    });
    join(peer);
    until(|| log.has("close"));
    assert_eq!(log.take(), ["after", "close"]);
}

#[test]
fn an_end_without_close_notify_is_an_error_and_no_end() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"half").unwrap();
        tls.sock.shutdown(Shutdown::Write).unwrap();
        let address = tls.sock.local_addr().unwrap();
        drain(tls.sock);
        address
    });
    let address = join(peer);
    until(|| log.has("close"));
    let truncated = format!(
        "TLS connection with tls://{address} failed: the peer closed the connection without close_notify: its data may be \
         incomplete"
    );
    assert_eq!(log.take(), ["connection", "half", &truncated, "close"]);
}

#[test]
fn a_response_written_in_pieces_is_one_record_followed_by_close_notify() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", move |conn: Connection| {
        conn.on("data", move |_: Bytes| {
            conn.write("a ");
            conn.write_with(|out| out.extend_from_slice(b"response "));
            conn.write("in pieces".to_owned());
            conn.end();
        });
    });
    // In TLS 1.3 the records of tickets have the same type.
    let config = identity.client_of(&[&TLS12]);
    let peer = client(server, config, |mut tls| {
        tls.write_all(b"question").unwrap();
        let mut bytes = Vec::new();
        tls.sock.read_to_end(&mut bytes).unwrap();
        let mut types = Vec::new();
        let mut rest = &bytes[..];
        while let [content, _, _, high, low, ..] = *rest {
            types.push(content);
            rest = &rest[5 + usize::from(u16::from_be_bytes([high, low]))..];
        }
        let mut records = &bytes[..];
        while tls.conn.read_tls(&mut records).unwrap() > 0 {
            tls.conn.process_new_packets().unwrap();
        }
        let mut text = String::new();
        tls.conn.reader().read_to_string(&mut text).unwrap();
        (types, text)
    });
    let (types, text) = join(peer);
    assert_eq!(text, "a response in pieces");
    assert_eq!(types, [23, 21], "data and an alert");
}

#[test]
fn a_record_that_was_tampered_with_is_an_error() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"whole").unwrap();
        // An unencrypted application data record of 20 bytes.
        tls.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
        tls.sock.write_all(&[0; 20]).unwrap();
        let address = tls.sock.local_addr().unwrap();
        drain(tls.sock);
        address
    });
    let address = join(peer);
    until(|| log.has("close"));
    let error =
        format!("TLS connection with tls://{address} failed: cannot decrypt peer's message");
    assert_eq!(log.take(), ["connection", "whole", &error, "close"]);
}

#[test]
fn a_resumed_connection_emits_the_data_received_while_it_was_paused() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        let log = seen.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(String::from_utf8_lossy(&chunk));
            conn.pause();
            conn.write("go on");
            uptick_event_loop::add_timer(std::time::Duration::from_millis(20), move || {
                conn.resume()
            });
        });
        let log = seen.clone();
        conn.on("end", move |()| log.add("end"));
    });
    let peer = client(server, identity.client(), |mut tls| {
        let mut response = [0; 5];
        for word in ["one", "two", "three"] {
            tls.write_all(word.as_bytes()).unwrap();
            tls.read_exact(&mut response).unwrap();
        }
        hang_up(tls);
    });
    join(peer);
    until(|| log.has("end"));
    assert_eq!(log.take(), ["one", "two", "three", "end"]);
}

#[test]
fn data_is_kept_until_there_is_a_data_listener() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        let log = seen.clone();
        log.add("connection");
        uptick_event_loop::add_timer(std::time::Duration::from_millis(20), move || {
            conn.on("data", move |chunk: Bytes| {
                log.add(String::from_utf8_lossy(&chunk))
            });
        });
    });
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"early").unwrap();
        tls
    });
    let _tls = join(peer);
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["connection", "early"]);
}

#[test]
fn a_callback_that_panics_closes_only_its_connection() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let mut count = 0;
    server.on("connection", move |conn: Connection| {
        count += 1;
        assert!(count != 1, "the first callback panics");
        conn.on("data", move |chunk: Bytes| {
            assert!(&chunk[..] != b"boom", "boom");
            conn.write(chunk);
        });
    });
    let refused = |mut tls: crate::support::Client| {
        let _ = tls.write_all(b"boom");
        // The client gets either a reset or an end without close_notify.
        matches!(tls.read(&mut [0; 8]), Err(_) | Ok(0))
    };
    assert!(join(client(server, identity.client(), refused)));
    assert!(join(client(server, identity.client(), refused)));
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"hello").unwrap();
        let mut response = [0; 5];
        tls.read_exact(&mut response).unwrap();
        response
    });
    assert_eq!(&join(peer), b"hello");
}

#[test]
fn connections_wait_until_there_is_a_connection_listener() {
    let identity = Identity::new();
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = uptick_tls::SecureServer::new(inner, identity.config());
    let peer = client(server, identity.client(), |mut tls| {
        let mut text = String::new();
        tls.read_to_string(&mut text).unwrap();
        text
    });
    settle();
    assert_eq!(inner.accepted(), 0);
    server.on("connection", |conn: Connection| conn.end_with("at last"));
    assert_eq!(join(peer), "at last");
    server.close();
    assert_eq!(server.address(), None);
    run().unwrap();
}
