//! Timeouts.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_socket::prelude::*;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn an_idle_connection_gets_an_error_and_closes() {
    let clock = manual_clock();
    let (conn, _peer) = tcp_pair();
    let remote = conn.remote_address().unwrap();
    let text = Rc::new(RefCell::new(String::new()));
    let noted = Rc::clone(&text);
    conn.on("error", move |error: Error| {
        noted.replace(error.to_string())
    });
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    clock.advance(MINUTE - Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
    assert_eq!(
        text.take(),
        format!("the idle connection with {remote} timed out after 60s (ETIMEDOUT)")
    );
}

#[test]
fn bytes_in_either_direction_keep_a_connection_from_being_idle() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("data", |_: Bytes| ());
    conn.set_idle_timeout(Some(MINUTE));
    for turn in 0..6 {
        clock.advance(MINUTE - Duration::from_secs(5));
        settle();
        if turn % 2 == 0 {
            peer.write_all(b"in").unwrap();
            run_until(|| conn.bytes_read() == turn + 2);
        } else {
            conn.write("out");
            settle();
            run_until(|| conn.acknowledged() == conn.bytes_written());
        }
        assert_eq!(log.text(), "", "in turn {turn}");
    }
    clock.advance(MINUTE + Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn an_idle_timeout_can_be_changed_and_switched_off() {
    let clock = manual_clock();
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    conn.set_idle_timeout(None);
    clock.advance(10 * MINUTE);
    settle();
    assert_eq!(log.text(), "");
    conn.set_idle_timeout(Some(2 * MINUTE));
    clock.advance(MINUTE + MINUTE / 2);
    settle();
    assert_eq!(log.text(), "", "the timeout starts when it is set");
    clock.advance(MINUTE);
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn connections_inherit_the_idle_timeout_of_their_server() {
    let clock = manual_clock();
    let options = ServerOptions::new().idle_timeout(Some(MINUTE));
    let server = Server::bind_with("127.0.0.1:0", options).unwrap();
    let log = Log::new();
    let noted = log.clone();
    with_connection(server, move |conn| noted.all(conn));
    let _peer = connect(server);
    run_until(|| server.address().is_none());
    clock.advance(MINUTE + Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_peer_that_does_not_read_is_reset_after_the_write_timeout() {
    let clock = manual_clock();
    let (conn, _peer) = tcp_pair();
    let remote = conn.remote_address().unwrap();
    let text = Rc::new(RefCell::new(String::new()));
    let noted = Rc::clone(&text);
    conn.on("error", move |error: Error| {
        noted.replace(error.to_string())
    });
    let log = Log::new();
    log.all(conn);
    conn.set_write_timeout(Some(MINUTE));
    conn.write(vec![0; 8 << 20]);
    settle();
    clock.advance(MINUTE - Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "");
    // The peer's kernel may have acknowledged some bytes late.
    for _ in 0..2 {
        clock.advance(MINUTE);
        settle();
    }
    assert_eq!(log.text(), "error:ETIMEDOUT close");
    assert_eq!(
        text.take(),
        format!("writing to {remote} timed out after 60s (ETIMEDOUT)")
    );
}

#[test]
fn the_write_timeout_is_30_seconds_unless_set() {
    let clock = manual_clock();
    let (conn, _peer) = unix_pair();
    let log = Log::new();
    log.all(conn);
    conn.write(vec![0; 8 << 20]);
    settle();
    clock.advance(Duration::from_secs(29));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_peer_that_reads_now_and_then_is_not_reset() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_write_timeout(Some(MINUTE));
    conn.write(vec![0; 32 << 20]);
    settle();
    for turn in 0..5 {
        clock.advance(MINUTE - Duration::from_secs(5));
        settle();
        let before = conn.buffered();
        while conn.buffered() == before {
            peer.read_exact(&mut vec![0; 1 << 20]).unwrap();
            settle();
        }
        assert_eq!(log.text(), "", "in turn {turn}");
    }
    conn.close();
}

#[test]
fn the_write_timeout_starts_when_the_peer_stops_reading() {
    let clock = manual_clock();
    let (conn, _peer) = unix_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(100 * MINUTE));
    clock.advance(10 * MINUTE);
    // Each write is sent completely, until one is not sent at all.
    while conn.buffered() == 0 {
        conn.write([0; 1000]);
        settle();
    }
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(29));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn limits_of_the_maximum_value_are_accepted() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(Duration::MAX));
    conn.set_write_timeout(Some(Duration::MAX));
    conn.set_linger(Duration::MAX);
    conn.set_write_limits(usize::MAX, usize::MAX);
    conn.write(vec![0; 8 << 20]);
    settle();
    drop(peer);
    run_loop();
    assert!(log.text().ends_with("close"), "{}", log.text());
}

#[test]
fn a_connection_that_has_ended_is_not_idle_but_lingers() {
    let clock = manual_clock();
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    clock.advance(MINUTE - Duration::from_millis(500));
    settle();
    conn.end();
    clock.advance(Duration::from_millis(700));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_millis(700));
    settle();
    assert_eq!(log.text(), "close");
}

#[test]
fn a_timeout_set_before_the_loop_runs_starts_at_that_time() {
    let clock = manual_clock();
    clock.advance(10 * MINUTE);
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.set_idle_timeout(Some(MINUTE));
    settle();
    clock.advance(MINUTE - Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_write_does_not_time_out_when_the_timeout_is_off() {
    let clock = manual_clock();
    let (conn, _peer) = unix_pair();
    let log = Log::new();
    log.all(conn);
    conn.write(vec![0; 8 << 20]);
    settle();
    conn.set_write_timeout(None);
    clock.advance(10_000 * MINUTE);
    settle();
    assert_eq!(log.text(), "");
    conn.set_write_timeout(Some(MINUTE));
    settle();
    clock.advance(Duration::from_secs(1));
    settle();
    assert_eq!(
        log.text(),
        "error:ETIMEDOUT close",
        "the stall has already lasted longer than the timeout"
    );
}

#[test]
fn an_idle_timeout_starts_at_the_call_inside_a_long_callback() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    let work = clock.clone();
    conn.on("data", move |_: Bytes| {
        work.advance(5 * MINUTE);
        conn.set_idle_timeout(Some(MINUTE));
    });
    peer.write_all(b"in").unwrap();
    run_until(|| clock.elapsed() >= 5 * MINUTE);
    settle();
    clock.advance(MINUTE - Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_connection_that_is_written_to_after_a_long_callback_is_not_idle() {
    let clock = manual_clock();
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_idle_timeout(Some(MINUTE));
    let work = clock.clone();
    conn.on("data", move |_: Bytes| {
        work.advance(5 * MINUTE);
        conn.write("out")
    });
    peer.write_all(b"in").unwrap();
    run_until(|| clock.elapsed() >= 5 * MINUTE);
    settle();
    run_until(|| conn.acknowledged() == conn.bytes_written());
    clock.advance(MINUTE - Duration::from_secs(1));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn duplicates_of_an_adopted_connection_are_not_watched_after_it_closes() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let kept = ours.try_clone().unwrap();
    let conn = Connection::adopt(ours).unwrap();
    conn.on("data", |_: Bytes| ());
    settle();
    conn.close();
    settle();
    peer.write_all(b"for the duplicate").unwrap();
    assert!(!loop_is_ready());
    // The new socket reuses the number of the closed descriptor.
    let again = Connection::adopt(kept.try_clone().unwrap()).unwrap();
    let log = Log::new();
    log.data(again);
    run_until(|| !log.is_empty());
    assert_eq!(log.text(), "data:for the duplicate");
    again.close();
}
