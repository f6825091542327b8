//! Encrypted connections as streams: pipes, pauses, key updates.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread;

use uptick_socket::prelude::*;
use uptick_stream::PipeOptions;
use uptick_tls::{SecureConnector, SecureServer};

use crate::connecting::{outcome, to};
use crate::support::{
    Identity, Log, address, client, connect, hang_up, join, settle, tls_server, until,
};

/// Forwards all data and the end of stream in one direction.
fn pass(from: Connection, to: Connection) {
    from.set_allow_half_open(true);
    let keep_open = PipeOptions {
        end: false,
        ..PipeOptions::default()
    };
    from.pipe_with(to, keep_open);
    from.on("end", move |()| to.shutdown_write());
}

/// Forwards each client of a server to a connection of `connector`, in both directions.
fn proxy<S: ServerInterface>(server: S, connector: impl ConnectorInterface + 'static) {
    server.on(S::CONNECTION, move |client: Connection| {
        connector.connect_then("tls://localhost:443", move |upstream| {
            let upstream = upstream.unwrap();
            pass(client, upstream);
            pass(upstream, client);
        });
    });
}

/// Makes a server echo all data and the end of stream.
fn echo<S: ServerInterface>(server: S) {
    server.on(S::CONNECTION, |conn: Connection| pass(conn, conn));
}

#[test]
fn plain_and_encrypted_connections_can_be_piped_together() {
    let identity = Identity::new();
    let plain = Server::bind("127.0.0.1:0").unwrap();
    echo(plain);
    // The secure server forwards to the plain echo server, and the plain front server forwards to the secure one.
    let secure = tls_server(identity.config());
    proxy(secure, to(plain));
    let front = Server::bind("127.0.0.1:0").unwrap();
    let connector = SecureConnector::new(to(secure)).cafile(&identity.file);
    proxy(front, connector);

    let text: Vec<u8> = (0..3_000_000).map(|i| (i % 251) as u8).collect();
    let expected = text.clone();
    let address = address(front);
    let peer = thread::spawn(move || {
        let mut socket = connect(address);
        let mut writer = socket.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&text).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut echo = Vec::new();
        socket.read_to_end(&mut echo).unwrap();
        writing.join().unwrap();
        echo
    });
    assert!(join(peer) == expected);
}

#[test]
fn a_hundred_mebibytes_are_echoed_with_short_write_queues() {
    const TOTAL: usize = 100 * 1024 * 1024;
    const PIECE: usize = 251 * 256;
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let peak = Rc::new(Cell::new(0));
    let most = Rc::clone(&peak);
    server.on("connection", move |conn: Connection| {
        let most = Rc::clone(&most);
        conn.on("data", move |chunk: Bytes| {
            if !conn.write(chunk) {
                conn.pause();
            }
            most.set(most.get().max(conn.buffered()));
        });
        conn.on("drain", move |()| conn.resume());
    });
    let connector = SecureConnector::new(to(server)).cafile(&identity.file);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    // The period of the pattern divides the length of a piece, so all pieces are equal.
    let piece: Bytes = (0..PIECE).map(|i| (i % 251) as u8).collect();
    let repeated = [&piece[..], &piece[..]].concat();

    let received = Rc::new(Cell::new(0));
    let (count, most) = (Rc::clone(&received), Rc::clone(&peak));
    conn.on("data", move |chunk: Bytes| {
        let at = count.get() % PIECE;
        assert!(repeated.get(at..at + chunk.len()) == Some(&chunk[..]));
        count.set(count.get() + chunk.len());
    });
    let mut sent = 0;
    let mut fill = move || {
        while sent < TOTAL {
            let part = piece.slice(..PIECE.min(TOTAL - sent));
            sent += part.len();
            let more = conn.write(part);
            most.set(most.get().max(conn.buffered()));
            if !more {
                return;
            }
        }
        conn.shutdown_write();
    };
    fill();
    conn.on("drain", move |()| fill());
    let log = Log::default();
    let seen = log.clone();
    conn.on("end", move |()| seen.add("end"));
    until(|| log.has("end"));
    assert_eq!(received.get(), TOTAL);
    // The soft limit and one more chunk, encrypted.
    assert!(peak.get() < 192 * 1024, "{} bytes were queued", peak.get());
}

#[test]
fn a_connection_may_pause_in_the_middle_of_a_record() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    let open = Rc::new(Cell::new(None));
    let slot = Rc::clone(&open);
    server.on("connection", move |conn: Connection| {
        slot.set(Some(conn));
        let log = seen.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(String::from_utf8_lossy(&chunk))
        });
    });
    let tls = join(client(server, identity.client(), |mut tls| {
        tls.flush().unwrap();
        tls
    }));
    let (mut tls, mut socket) = tls.into_parts();
    until(|| open.get().is_some());
    let conn = open.get().unwrap();
    let mut records = Vec::new();
    for word in ["one", "two", "three"] {
        tls.writer().write_all(word.as_bytes()).unwrap();
        tls.write_tls(&mut records).unwrap();
    }
    // The first record and a half.
    let (first, rest) = records.split_at(records.len() / 2);
    socket.write_all(first).unwrap();
    settle();
    assert_eq!(log.take(), ["one"]);
    conn.pause();
    socket.write_all(rest).unwrap();
    settle();
    assert_eq!(log.len(), 0);
    conn.resume();
    until(|| log.len() > 0);
    assert_eq!(log.take(), ["twothree"]);
}

#[test]
fn keys_may_be_updated_while_both_sides_send() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    echo(server);
    let peer = client(server, identity.client(), |mut tls| {
        let mut response = [0; 5];
        for _ in 0..5 {
            tls.write_all(b"hello").unwrap();
            // The server has to update its keys too.
            tls.conn.refresh_traffic_keys().unwrap();
            tls.write_all(b"again").unwrap();
            for expected in [b"hello", b"again"] {
                tls.read_exact(&mut response).unwrap();
                assert_eq!(&response, expected);
            }
        }
        hang_up(tls);
    });
    join(peer);
}

#[test]
fn an_inherited_listening_socket_supports_tls() {
    let identity = Identity::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inner = Server::adopt(OwnedFd::from(listener), ServerOptions::new()).unwrap();
    let server = SecureServer::new(inner, identity.config());
    echo(server);
    let connector = SecureConnector::new(Connector::new()).cafile(&identity.file);
    let uri = format!("tls://localhost:{}", address(server).port());
    let conn = outcome(connector.connect(&*uri)).unwrap();
    let log = Log::default();
    let seen = log.clone();
    conn.on("data", move |chunk: Bytes| {
        seen.add(String::from_utf8_lossy(&chunk))
    });
    conn.write("hello");
    until(|| log.has("hello"));
}

#[test]
fn a_truncated_connection_is_an_error_of_the_client_and_not_an_end() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", |_: Connection| ());
    server.on("error", |_: Error| ());
    // Connections through this server end without close_notify.
    let cut = Server::bind("127.0.0.1:0").unwrap();
    let behind = to(server);
    let client = Rc::new(Cell::new(None));
    let slot = Rc::clone(&client);
    cut.on("connection", move |client: Connection| {
        slot.set(Some(client));
        behind.connect_then("tcp://localhost:443", move |upstream| {
            let upstream = upstream.unwrap();
            pass(client, upstream);
            pass(upstream, client);
        });
    });
    let connector = SecureConnector::new(to(cut)).cafile(&identity.file);
    let conn = outcome(connector.connect("tls://localhost:443")).unwrap();
    let log = Log::default();
    for name in ["end", "close"] {
        let seen = log.clone();
        conn.on(name, move |()| seen.add(name));
    }
    let seen = log.clone();
    conn.on("error", move |error: Error| seen.add(error));
    conn.on("data", |_: Bytes| ());
    client.get().unwrap().shutdown_write();
    until(|| log.has("close"));
    let lines = log.take();
    assert!(
        lines[0].ends_with("without close_notify: its data may be incomplete"),
        "{lines:?}"
    );
    assert_eq!(lines[1..], ["close"]);
}

#[test]
fn a_response_is_received_completely_by_a_client_that_sends_after_its_close_notify() {
    const RESPONSE: usize = 12_000_000;
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = Log::default();
    let seen = log.clone();
    server.on("connection", move |conn: Connection| {
        conn.on("data", move |_: Bytes| {
            conn.write(vec![b'x'; RESPONSE]);
        });
        for name in ["end", "close"] {
            let log = seen.clone();
            conn.on(name, move |()| log.add(name));
        }
        let log = seen.clone();
        conn.on("error", move |error: Error| log.add(error));
    });
    let peer = client(server, identity.client(), |mut tls| {
        tls.write_all(b"request").unwrap();
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        let mut response = vec![0];
        tls.read_exact(&mut response).unwrap();
        // If the server closed without reading this, it would reset the connection.
        tls.sock.write_all(b"after it").unwrap();
        tls.read_to_end(&mut response).unwrap();
        response.len()
    });
    assert_eq!(join(peer), RESPONSE);
    until(|| log.has("close"));
    assert_eq!(log.take(), ["end", "close"]);
}
