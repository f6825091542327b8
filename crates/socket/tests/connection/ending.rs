//! `end`, `close`, `shutdown_write`, half-open connections and lingering.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn end_sends_everything_before_it_closes() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.write(vec![7; 3_000_000]);
    conn.end();
    assert!(!conn.is_writable() && !conn.is_readable());
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    assert_eq!(reader.join().unwrap(), 3_000_000);
    assert_eq!(log.text(), "close");
}

#[test]
fn end_with_writes_its_data_before_it_ends() {
    let (conn, mut peer) = tcp_pair();
    conn.end_with("last words");
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), b"last words");
}

#[test]
fn close_discards_unsent_data() {
    let (conn, mut peer) = tcp_pair();
    conn.write(vec![7; 50_000]);
    assert_eq!(conn.buffered(), 50_000);
    conn.close();
    assert_eq!(conn.buffered(), 0);
    run_loop();
    assert_eq!(read_all(&mut peer), b"");
}

#[test]
fn close_after_end_closes_without_waiting() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_linger(Duration::from_secs(3600));
    conn.end_with("x");
    settle();
    assert_eq!(log.text(), "");
    conn.close();
    run_loop();
    assert_eq!(log.text(), "close");
    drop(peer);
}

#[test]
fn an_ended_connection_waits_for_the_end_of_stream_of_the_peer() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_linger(Duration::from_secs(3600));
    conn.end_with("x");
    settle();
    assert_eq!(read_all(&mut peer), b"x");
    peer.write_all(b"still talking").unwrap();
    settle();
    assert!(conn.is_open());
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn the_linger_time_limits_the_wait_for_the_end_of_stream() {
    let clock = manual_clock();
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.end();
    clock.advance(Duration::from_millis(900));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_millis(300));
    settle();
    assert_eq!(log.text(), "close");
}

#[test]
fn an_early_response_reaches_a_client_that_is_still_uploading() {
    let server = tcp_server();
    with_connection(server, |conn| {
        conn.once("data", move |_: Bytes| {
            conn.end_with("413 Content Too Large")
        });
    });
    let client = client(server, |mut client| {
        for _ in 0..10 {
            client.write_all(&[b'u'; 1 << 20]).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        read_all(&mut client)
    });
    run_loop();
    assert_eq!(client.join().unwrap(), b"413 Content Too Large");
}

#[test]
fn reading_continues_after_shutdown_write() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.write("question");
    conn.shutdown_write();
    conn.shutdown_write();
    assert!(!conn.is_writable() && conn.is_readable());
    assert!(!conn.write("more"));
    settle();
    assert_eq!(read_all(&mut peer), b"question");
    peer.write_all(b"answer").unwrap();
    drop(peer);
    run_loop();
    assert_eq!(log.text(), "data:answer end close");
}

#[test]
fn shutdown_write_sends_the_queue_first() {
    let (conn, mut peer) = tcp_pair();
    conn.write(vec![1; 2_000_000]);
    conn.shutdown_write();
    conn.resume();
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    assert_eq!(reader.join().unwrap(), 2_000_000);
}

#[test]
fn a_connection_ends_after_the_end_of_stream_once_its_queue_is_sent() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("end", move |()| conn.write(vec![1; 2_000_000]));
    conn.resume();
    peer.shutdown(Shutdown::Write).unwrap();
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    assert_eq!(reader.join().unwrap(), 2_000_000);
    assert_eq!(log.text(), "end close");
}

#[test]
fn a_half_open_connection_is_writable_until_it_ends() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_allow_half_open(true);
    conn.resume();
    peer.shutdown(Shutdown::Write).unwrap();
    run_until(|| log.text() == "end");
    settle();
    assert!(conn.is_open() && conn.is_writable());
    assert!(conn.write("late answer"));
    conn.end();
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), b"late answer");
    assert_eq!(log.text(), "end close");
}

#[test]
fn both_peers_may_end_at_the_same_time() {
    let (conn, peer) = tcp_pair();
    let peer = Connection::adopt(peer).unwrap();
    let log = Log::new();
    log.all(conn);
    log.all(peer);
    conn.end_with("x");
    peer.end_with("y");
    run_loop();
    assert_eq!(log.text(), "close close");
}

#[test]
fn end_in_the_connection_listener_sends_the_data_and_closes() {
    let server = tcp_server();
    with_connection(server, |conn| conn.end_with("busy"));
    let client = client(server, |mut client| read_all(&mut client));
    run_loop();
    assert_eq!(client.join().unwrap(), b"busy");
}

#[test]
fn end_after_shutdown_write_lingers_and_closes() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.write("question");
    conn.shutdown_write();
    settle();
    assert_eq!(read_all(&mut peer), b"question");
    clock.advance(Duration::from_secs(3600));
    settle();
    assert_eq!(log.text(), "", "a connection that reads does not time out");
    conn.end();
    clock.advance(Duration::from_millis(1200));
    settle();
    assert_eq!(log.text(), "close");
}
