//! Panics in callbacks: the connection of the callback emits an error and closes, everything else continues.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{add_timer, future_tick};
use uptick_socket::prelude::*;

use crate::support::*;

/// A second connection, for checking that it still echoes after a panic.
struct Bystander(Connection, TcpStream);

impl Bystander {
    fn new() -> Self {
        let (conn, peer) = tcp_pair();
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        Bystander(conn, peer)
    }

    #[track_caller]
    fn assert_echoes(mut self) {
        self.1.write_all(b"echo?").unwrap();
        let before = self.0.bytes_written();
        run_until(|| self.0.bytes_written() == before + 5);
        let mut bytes = [0; 5];
        self.1.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"echo?");
        self.0.close();
        run_loop();
    }
}

#[test]
fn a_data_callback_panics() {
    let bystander = Bystander::new();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("data", |_: Bytes| panic!("oh no"));
    peer.write_all(b"x").unwrap();
    run_until(|| !conn.is_open());
    assert_eq!(log.text(), "error:panic:oh no close");
    bystander.assert_echoes();
}

#[test]
fn the_error_of_a_panic_names_the_connection() {
    let (conn, mut peer) = tcp_pair();
    let remote = conn.remote_address().unwrap();
    let log = Log::new();
    let noted = log.clone();
    conn.on("error", move |error: Error| noted.add(error));
    conn.on("data", |_: Bytes| panic!("oh no"));
    peer.write_all(b"x").unwrap();
    run_loop();
    let text = format!("a callback of the connection with {remote} panicked: oh no");
    assert_eq!(log.text(), text);
}

#[test]
fn an_end_callback_panics() {
    let bystander = Bystander::new();
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("end", |()| panic!("oh no"));
    drop(peer);
    run_until(|| !conn.is_open());
    assert_eq!(log.text(), "end error:panic:oh no close");
    bystander.assert_echoes();
}

#[test]
fn a_drain_callback_panics() {
    let bystander = Bystander::new();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("drain", |()| panic!("oh no"));
    while conn.write(vec![0; 100_000]) {}
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while matches!(peer.read(&mut bytes), Ok(1..)) {}
    });
    run_until(|| !conn.is_open());
    reader.join().unwrap();
    assert_eq!(log.text(), "drain error:panic:oh no close");
    bystander.assert_echoes();
}

#[test]
fn an_error_callback_panics() {
    let bystander = Bystander::new();
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("error", |_: Error| panic!("oh no"));
    reset(peer);
    run_until(|| !conn.is_open());
    assert_eq!(log.text(), "error:ECONNRESET close");
    bystander.assert_echoes();
}

#[test]
fn a_close_callback_panics() {
    let bystander = Bystander::new();
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("close", |()| panic!("oh no"));
    drop(peer);
    run_until(|| !conn.is_open());
    assert_eq!(log.text(), "end close");
    bystander.assert_echoes();
}

#[test]
fn every_callback_panics() {
    let bystander = Bystander::new();
    let (conn, mut peer) = tcp_pair();
    conn.on("data", |_: Bytes| panic!("in data"));
    conn.on("error", |_: Error| panic!("in error"));
    conn.on("close", |()| panic!("in close"));
    peer.write_all(b"x").unwrap();
    run_until(|| !conn.is_open());
    assert_eq!(read_all(&mut peer), b"", "the descriptor is closed");
    bystander.assert_echoes();
}

#[test]
fn a_close_callback_panics_inside_a_callback_of_another_connection() {
    let (conn, mut peer) = tcp_pair();
    let (other, _other_peer) = tcp_pair();
    other.on("close", |()| panic!("in close"));
    let log = Log::new();
    log.states(conn);
    conn.on("data", move |_: Bytes| {
        other.close();
        assert!(!other.is_open());
        conn.end_with("after close");
    });
    peer.write_all(b"x").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    run_loop();
    assert_eq!(read_all(&mut peer), b"after close");
    assert_eq!(log.count("close"), 1);
    assert!(!log.text().contains("panic"), "{}", log.text());
}

#[test]
fn a_connection_callback_panics() {
    let bystander = Bystander::new();
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.states(conn);
        if server.accepted() == 1 {
            panic!("oh no");
        }
        conn.end_with("second");
        server.close();
    });
    let noted = log.clone();
    server.on("error", move |error: Error| {
        noted.add(format!("server {error}"))
    });
    let address = server.address().unwrap();
    let mut first = connect(server);
    let second = client(server, |mut client| read_all(&mut client));
    assert_eq!(
        {
            run_until(|| log.count("close") == 1);
            read_all(&mut first)
        },
        b""
    );
    run_until(|| server.address().is_none());
    bystander.assert_echoes();
    run_loop();
    assert_eq!(second.join().unwrap(), b"second");
    let error = format!("server a callback of the server {address} panicked: oh no");
    assert_eq!(log.text(), format!("error:panic:oh no close {error} close"));
}

#[test]
fn the_close_callback_of_a_server_panics() {
    let bystander = Bystander::new();
    let server = tcp_server();
    server.on("close", |()| panic!("oh no"));
    server.close();
    assert_eq!(server.address(), None);
    bystander.assert_echoes();
}

#[test]
fn the_close_callback_of_a_server_panics_during_its_shutdown() {
    let server = tcp_server();
    server.on("close", |()| panic!("oh no"));
    server.on("connection", |_: Connection| ());
    let _client = connect(server);
    run_until(|| server.accepted() == 1);
    assert_eq!(block_on(server.shutdown(Duration::ZERO)), 1);
}

#[test]
fn a_timer_or_tick_that_uses_a_connection_panics() {
    let bystander = Bystander::new();
    let conn = bystander.0;
    future_tick(move || {
        conn.write("");
        panic!("in a tick");
    });
    add_timer(Duration::ZERO, || panic!("in a timer"));
    settle();
    bystander.assert_echoes();
}

#[test]
fn a_capture_of_a_listener_panics_when_it_is_dropped() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let bystander = Bystander::new();
    let (conn, mut peer) = tcp_pair();
    let captured = Rc::new(PanicsOnDrop);
    conn.on("end", move |()| drop(Rc::clone(&captured)));
    conn.set_extension(7_u8);
    conn.close();
    assert!(!conn.is_open());
    assert_eq!(read_all(&mut peer), b"", "the descriptor is closed");
    bystander.assert_echoes();
}

#[test]
fn registering_a_callback_with_a_wrong_payload_panics_and_the_server_emits_an_error() {
    let server = tcp_server();
    let log = Log::new();
    let noted = log.clone();
    server.on("connection", move |conn: Connection| {
        noted.states(conn);
        conn.write("never sent");
        conn.on("data", |()| ());
    });
    let noted = log.clone();
    server.on("error", move |error: Error| {
        noted.add(error);
        server.close();
    });
    let address = server.address().unwrap();
    let client = client(server, |mut client| read_all(&mut client));
    run_loop();
    assert_eq!(client.join().unwrap(), b"");
    let message = "the event \"data\" of Connection carries a `Bytes`, but the callback takes a `()`; \
                   the events that carry a `()`: \"end\", \"drain\", \"pipe\", \"close\"";
    let error = format!("a callback of the server {address} panicked: {message}");
    assert_eq!(log.text(), format!("error:panic:{message} close {error}"));
}
