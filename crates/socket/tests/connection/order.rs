//! The order of events, and the state of the connection in listeners.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::thread;

use uptick_socket::prelude::*;

use crate::support::*;

#[test]
fn the_events_are_connection_data_end_close() {
    let log = Log::new();
    let server = tcp_server();
    let noted = log.clone();
    with_connection(server, move |conn| {
        noted.add("connection");
        noted.all(conn);
        conn.on("data", move |_: Bytes| conn.write("ok"));
    });
    let client = client(server, |mut client| {
        for chunk in ["one", "two"] {
            client.write_all(chunk.as_bytes()).unwrap();
            client.read_exact(&mut [0; 2]).unwrap();
        }
    });
    run_loop();
    client.join().unwrap();
    assert_eq!(log.text(), "connection data:one data:two end close");
}

#[test]
fn the_events_of_a_reset_are_data_error_close() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.all(conn);
    peer.write_all(b"x").unwrap();
    run_until(|| !log.is_empty());
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "data:x error:ECONNRESET close");
}

#[test]
fn the_error_of_a_reset_states_the_operation_the_address_and_the_cause() {
    let (conn, peer) = tcp_pair();
    let remote = conn.remote_address().unwrap();
    let text = Rc::new(RefCell::new(String::new()));
    let noted = Rc::clone(&text);
    conn.on("error", move |error: Error| {
        noted.replace(error.to_string())
    });
    conn.resume();
    reset(peer);
    run_loop();
    assert_eq!(
        text.take(),
        format!("reading from {remote} failed: Connection reset by peer (ECONNRESET)")
    );
}

#[test]
fn a_connection_is_writable_but_not_readable_in_end_listeners() {
    let (conn, peer) = tcp_pair();
    let states = Rc::new(Cell::new(None));
    let noted = Rc::clone(&states);
    conn.on("end", move |()| {
        noted.set(Some((conn.is_readable(), conn.is_writable())))
    });
    assert!(conn.is_readable() && conn.is_writable());
    conn.resume();
    drop(peer);
    run_loop();
    assert_eq!(states.get(), Some((false, true)));
}

#[test]
fn data_written_in_end_listeners_is_sent() {
    let (conn, mut peer) = tcp_pair();
    conn.on("end", move |()| conn.write("goodbye"));
    conn.resume();
    peer.shutdown(Shutdown::Write).unwrap();
    run_loop();
    assert_eq!(read_all(&mut peer), b"goodbye");
}

#[test]
fn closing_inside_data_ends_the_events_with_close() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.data(conn);
    conn.on("data", move |_: Bytes| conn.close());
    log.all(conn);
    peer.write_all(b"x").unwrap();
    run_loop();
    assert_eq!(log.text(), "data:x close");
}

#[test]
fn closing_twice_emits_one_close() {
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("close", move |()| conn.close());
    conn.close();
    conn.close();
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn every_data_listener_gets_every_byte() {
    let (conn, mut peer) = tcp_pair();
    let sums = Rc::new(RefCell::new([Vec::new(), Vec::new()]));
    for n in 0..2 {
        let sums = Rc::clone(&sums);
        conn.on("data", move |chunk: Bytes| {
            sums.borrow_mut()[n].extend_from_slice(&chunk)
        });
    }
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let bytes = sent.clone();
    let writer = thread::spawn(move || peer.write_all(&bytes).unwrap());
    run_loop();
    writer.join().unwrap();
    let sums = sums.take();
    assert!(sums[0] == sent, "the first listener missed data");
    assert!(sums[1] == sent, "the second listener missed data");
}

#[test]
fn a_reset_during_a_large_write_is_not_mistaken_for_end_of_stream() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    peer.write_all(&[0; 200_000]).unwrap();
    reset(peer);
    // A write over the soft limit is sent at once, during the read.
    conn.on("data", move |_: Bytes| conn.write(vec![0; 100_000]));
    run_loop();
    assert_eq!(log.text(), "error:ECONNRESET close");
}

#[test]
fn an_error_without_a_listener_closes_the_connection() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    let noted = log.clone();
    conn.on("close", move |()| noted.add("close"));
    conn.resume();
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn a_chunk_is_64_kib_at_most() {
    let (conn, mut peer) = tcp_pair();
    let largest = Rc::new(Cell::new(0));
    let seen = Rc::clone(&largest);
    conn.on("data", move |chunk: Bytes| {
        seen.set(seen.get().max(chunk.len()))
    });
    let sent = fill(&mut peer);
    assert!(sent > 1 << 16);
    drop(peer);
    run_loop();
    assert!(
        (1..=1 << 16).contains(&largest.get()),
        "{} bytes",
        largest.get()
    );
}
