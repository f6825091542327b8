//! `pause` and `resume`.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn pause_holds_data_and_end_until_resume() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.pause();
    conn.pause();
    peer.write_all(b"held").unwrap();
    drop(peer);
    settle();
    assert_eq!(log.text(), "");
    assert!(conn.is_readable());
    conn.resume();
    run_loop();
    assert_eq!(log.text(), "data:held end close");
}

#[test]
fn end_without_data_is_held_too() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.pause();
    drop(peer);
    settle();
    assert_eq!(log.text(), "");
    conn.resume();
    run_loop();
    assert_eq!(log.text(), "end close");
}

#[test]
fn pausing_inside_data_holds_the_rest() {
    let (conn, mut peer) = tcp_pair();
    let received = Rc::new(Cell::new(0));
    let sum = Rc::clone(&received);
    conn.on("data", move |chunk: Bytes| {
        sum.set(sum.get() + chunk.len());
        conn.pause();
    });
    peer.write_all(&[0; 300_000]).unwrap();
    drop(peer);
    settle();
    assert!(received.get() <= uptick_stream::READ_SIZE);
    let mut resumed = 0;
    while conn.is_open() {
        conn.resume();
        settle();
        resumed += 1;
        assert!(resumed < 1000, "got only {} bytes", received.get());
    }
    assert_eq!(received.get(), 300_000);
    assert!(resumed > 3);
}

#[test]
fn a_paused_connection_makes_its_peer_stop_sending() {
    let (conn, mut peer) = tcp_pair();
    conn.on("data", |_: Bytes| ());
    conn.pause();
    settle();
    fill(&mut peer);
    settle();
    assert_eq!(conn.bytes_read(), 0);
    assert_eq!(fill(&mut peer), 0, "the peer was still able to write");
    conn.close();
}

#[test]
fn a_paused_connection_notices_a_reset() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.pause();
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "error:ECONNRESET close");
}

#[test]
fn a_paused_connection_still_writes() {
    let (conn, mut peer) = tcp_pair();
    conn.pause();
    conn.write("hello");
    settle();
    let mut bytes = [0; 5];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    conn.close();
}

#[test]
fn resume_without_pause_and_after_the_end_changes_nothing() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    conn.on("end", move |()| conn.resume());
    conn.resume();
    peer.write_all(b"x").unwrap();
    drop(peer);
    run_loop();
    conn.resume();
    conn.pause();
    run_loop();
    assert_eq!(log.text(), "data:x end close");
}
