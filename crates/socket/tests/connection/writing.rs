//! `write`, its limits, `drain` and the counters.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::thread;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn write_returns_false_from_exactly_the_soft_limit_on() {
    let (conn, mut peer) = tcp_pair();
    conn.pause();
    fill_kernel(conn);
    let waiting = conn.buffered();
    conn.set_write_limits(waiting + 10, 1 << 30);
    assert!(conn.write([0; 9]));
    assert!(!conn.write([0; 1]), "exactly full counts as full");
    assert!(!conn.write([0; 100]), "the bytes are accepted anyway");
    assert_eq!(conn.buffered(), waiting + 110);
    conn.end();
    let total = usize::try_from(conn.bytes_written()).unwrap() + conn.buffered();
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    assert_eq!(reader.join().unwrap(), total);
}

/// Writes until the kernel accepts no more bytes.
fn fill_kernel(conn: Connection) {
    conn.set_write_limits(1, 1 << 30);
    while conn.write(vec![0; 100_000]) {}
    settle();
    assert!(conn.buffered() > 0);
}

#[test]
fn drain_is_emitted_once_when_the_queue_falls_below_the_soft_limit() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_write_limits(1 << 20, 1 << 30);
    conn.on("drain", move |()| {
        assert!(conn.buffered() < 1 << 20);
    });
    while conn.write(vec![0; 100_000]) {}
    for _ in 0..10 {
        assert!(!conn.write(vec![0; 100_000]));
    }
    settle();
    assert_eq!(log.text(), "");
    let total = usize::try_from(conn.bytes_written()).unwrap() + conn.buffered();
    let reader = thread::spawn(move || {
        peer.read_exact(&mut vec![0; total]).unwrap();
        peer
    });
    run_until(|| conn.buffered() == 0);
    settle();
    assert_eq!(log.text(), "drain");
    drop(reader.join().unwrap());
    run_loop();
    assert_eq!(log.text(), "drain end close");
}

#[test]
fn drain_is_emitted_when_the_limit_is_raised_above_the_queue() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    fill_kernel(conn);
    assert_eq!(log.text(), "");
    conn.set_write_limits(conn.buffered() + 1, 1 << 30);
    settle();
    assert_eq!(log.text(), "drain");
    conn.close();
    drop(peer);
}

#[test]
fn a_soft_limit_of_zero_is_raised_to_one_so_that_drain_is_emitted() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_write_limits(0, 1 << 30);
    conn.write("x");
    settle();
    peer.read_exact(&mut [0; 1]).unwrap();
    fill_kernel(conn);
    conn.set_write_limits(0, 1 << 30);
    assert!(!conn.write("y"));
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_until(|| log.count("drain") > 0);
    conn.end();
    run_loop();
    reader.join().unwrap();
}

#[test]
fn drain_is_not_emitted_after_end() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    while conn.write(vec![0; 100_000]) {}
    conn.end();
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    reader.join().unwrap();
    assert_eq!(log.text(), "close");
}

#[test]
fn writing_and_ending_inside_drain_loses_no_data() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    let mut sent = 0;
    while conn.write(vec![0; 100_000]) {
        sent += 100_000;
    }
    sent += 100_000;
    conn.on("drain", move |()| {
        conn.write(vec![1; 500_000]);
        conn.end_with("done");
    });
    let reader = thread::spawn(move || read_all(&mut peer).len());
    run_loop();
    assert_eq!(reader.join().unwrap(), sent + 500_004);
    assert_eq!(log.text(), "drain close");
}

#[test]
fn closing_inside_drain_closes_once() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    while conn.write(vec![0; 100_000]) {}
    conn.on("drain", move |()| conn.close());
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while matches!(peer.read(&mut bytes), Ok(1..)) {}
    });
    run_loop();
    reader.join().unwrap();
    assert_eq!(log.text(), "drain close");
}

#[test]
fn a_write_that_finds_the_hard_limit_reached_is_an_error() {
    let (conn, peer) = tcp_pair();
    let remote = conn.remote_address().unwrap();
    let text = Rc::new(RefCell::new(String::new()));
    let noted = Rc::clone(&text);
    conn.on("error", move |error: Error| {
        noted.replace(error.to_string())
    });
    let log = Log::new();
    log.states(conn);
    fill_kernel(conn);
    let limit = conn.buffered() + 5;
    conn.set_write_limits(1, limit);
    conn.write([0; 5]);
    settle();
    assert_eq!(log.text(), "", "a write up to the limit is accepted");
    conn.write([0; 1]);
    run_loop();
    assert_eq!(log.text(), "error:ENOBUFS close");
    assert_eq!(
        text.take(),
        format!(
            "writing to {remote} failed: the write queue is at its limit of {limit} bytes (ENOBUFS)"
        )
    );
    drop(peer);
}

#[test]
fn write_returns_false_and_does_nothing_after_end_and_close() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.end_with("a");
    assert!(!conn.write("b"));
    conn.end_with("c");
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    assert!(!conn.write("d"));
    assert_eq!(reader.join().unwrap(), b"a");
    assert_eq!(log.text(), "close");
}

#[test]
fn an_empty_write_returns_true_and_sends_nothing() {
    let (conn, mut peer) = tcp_pair();
    assert!(conn.write(""));
    assert_eq!(conn.buffered(), 0);
    conn.end_with(Bytes::new());
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), b"");
    assert_eq!(conn.bytes_written(), 0);
}

#[test]
fn all_kinds_of_chunks_arrive_in_order() {
    let (conn, mut peer) = tcp_pair();
    conn.write("str ");
    conn.write(String::from("string "));
    conn.write(b"bytes ");
    conn.write(vec![b'x'; 70_000]);
    conn.write(Bytes::from_static(b" static "));
    conn.write(&[b'y'; 5000][..]);
    conn.end_with(" end");
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    let mut expected = b"str string bytes ".to_vec();
    expected.extend([b'x'; 70_000]);
    expected.extend(b" static ");
    expected.extend([b'y'; 5000]);
    expected.extend(b" end");
    assert!(reader.join().unwrap() == expected, "the bytes differ");
}

#[test]
fn bytes_are_counted_in_both_directions() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.data(conn);
    let counts = Rc::new(Cell::new((0, 0)));
    let noted = Rc::clone(&counts);
    conn.on("close", move |()| {
        noted.set((conn.bytes_read(), conn.bytes_written()))
    });
    conn.write("12345");
    peer.write_all(b"1234567").unwrap();
    run_until(|| !log.is_empty());
    assert_eq!((conn.bytes_read(), conn.bytes_written()), (7, 5));
    drop(peer);
    run_loop();
    assert_eq!(counts.get(), (7, 5));
    assert_eq!((conn.bytes_read(), conn.bytes_written()), (0, 0));
}

#[test]
fn acknowledged_bytes_are_those_that_have_left_the_kernel() {
    let (conn, mut peer) = tcp_pair();
    conn.write("hello");
    settle();
    peer.read_exact(&mut [0; 5]).unwrap();
    run_until(|| conn.acknowledged() == 5);
    conn.write(vec![0; 8 << 20]);
    settle();
    let (acknowledged, written) = (conn.acknowledged(), conn.bytes_written());
    assert!(
        acknowledged < written,
        "the peer's buffer is full: {acknowledged} of {written}"
    );
    let total = usize::try_from(written).unwrap() - 5 + conn.buffered();
    let reader = thread::spawn(move || {
        peer.read_exact(&mut vec![0; total]).unwrap();
        peer
    });
    run_until(|| conn.acknowledged() == 5 + total as u64);
    reader.join().unwrap();
    conn.close();
    assert_eq!(conn.acknowledged(), 0, "the handle is stale");
}

#[test]
fn bytes_on_a_unix_socket_are_acknowledged_when_they_are_read() {
    let (conn, mut peer) = unix_pair();
    conn.write([0; 1000]);
    settle();
    assert_eq!((conn.acknowledged(), conn.bytes_written()), (0, 1000));
    peer.read_exact(&mut [0; 1000]).unwrap();
    assert_eq!(conn.acknowledged(), 1000);
}
