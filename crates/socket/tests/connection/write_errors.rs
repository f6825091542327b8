//! Data that the peer sent before it closed the connection, and write errors.

use std::io::Write;
use std::net::Shutdown;

use uptick_socket::engine::Engine;
use uptick_socket::prelude::*;

use crate::support::*;

/// Fills the kernel's buffers of a connection, sends `response` to it, and resets it; returns the events of the connection.
fn respond_and_reset(reads_before_error: bool, half_closes: bool) -> String {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    settle();
    conn.set_read_before_write_error(reads_before_error);
    while conn.write(vec![0; 100_000]) {}
    settle();
    assert!(conn.is_sending());
    peer.write_all(b"response").unwrap();
    if half_closes {
        peer.shutdown(Shutdown::Write).unwrap();
    }
    // Closing a socket with unread data resets the connection.
    drop(peer);
    run_loop();
    log.text()
}

#[test]
fn data_is_delivered_before_a_write_error_if_the_session_wants_it() {
    assert_eq!(respond_and_reset(false, false), "error:ECONNRESET close");
    assert_eq!(
        respond_and_reset(true, false),
        "data:response error:ECONNRESET close"
    );
}

#[test]
fn an_end_of_stream_before_the_reset_is_delivered_too() {
    assert_eq!(respond_and_reset(true, true), "data:response end close");
}

#[test]
fn a_paused_connection_fails_after_it_is_resumed_and_read() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    settle();
    conn.set_read_before_write_error(true);
    conn.pause();
    while conn.write(vec![0; 100_000]) {}
    peer.write_all(b"response").unwrap();
    drop(peer);
    settle();
    assert_eq!(log.text(), "");
    assert!(!conn.is_writable());
    conn.resume();
    run_loop();
    assert_eq!(log.text(), "data:response error:ECONNRESET close");
}

#[test]
fn input_is_noticed_before_it_is_read() {
    let (conn, mut peer) = tcp_pair();
    settle();
    assert!(!conn.has_input());
    peer.write_all(b"x").unwrap();
    assert!(conn.has_input());
    conn.on("data", |_: Bytes| ());
    settle();
    assert!(!conn.has_input());
    drop(peer);
    assert!(conn.has_input());
    run_loop();
    assert!(conn.has_input(), "the connection is gone");
}
