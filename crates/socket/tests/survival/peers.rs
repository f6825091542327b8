//! Peers that reset, do not read, or send one byte at a time; sockets that accept few bytes at a time.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use uptick_socket::prelude::*;

use crate::support::*;

/// Period of the test pattern, in bytes: not a power of two.
const PERIOD: usize = 251;

/// Returns the byte of the test pattern at a position.
fn pattern(at: usize) -> u8 {
    (at % PERIOD) as u8
}

fn patterned(length: usize) -> Vec<u8> {
    (0..length).map(pattern).collect()
}

/// Reads until end of stream, checks every byte, and returns their number.
fn read_pattern(mut stream: impl Read) -> usize {
    let mut bytes = vec![0; 1 << 16];
    let expected = patterned(bytes.len() + PERIOD);
    let mut at = 0;
    loop {
        let count = stream.read(&mut bytes).unwrap();
        if count == 0 {
            return at;
        }
        let expected = &expected[at % PERIOD..][..count];
        assert!(bytes[..count] == *expected, "the bytes from {at} on differ");
        at += count;
    }
}

#[test]
fn a_reset_during_a_write_is_an_error() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.write(vec![0; 8 << 20]);
    settle();
    peer.read_exact(&mut [0; 1000]).unwrap();
    assert!(conn.buffered() > 0);
    reset(peer);
    run_loop();
    let text = log.text();
    assert!(
        ["error:ECONNRESET close", "error:EPIPE close"].contains(&&*text),
        "{text}"
    );
}

#[test]
fn a_reset_before_all_data_is_sent_is_an_error_after_end() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.end_with(vec![0; 8 << 20]);
    settle();
    reset(peer);
    run_loop();
    let text = log.text();
    assert!(
        ["error:ECONNRESET close", "error:EPIPE close"].contains(&&*text),
        "the loss of written data must be reported: {text}"
    );
}

#[test]
fn a_reset_during_the_linger_time_is_not_an_error() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_linger(Duration::from_secs(3600));
    conn.end();
    settle();
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "close");
}

#[test]
fn a_peer_that_never_reads_triggers_the_hard_limit() {
    const HARD: usize = 1 << 20;
    const CHUNK: usize = 10_000;
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_write_limits(64 << 10, HARD);
    let max = Rc::new(Cell::new(0));
    let peak = Rc::clone(&max);
    // A sender that ignores the result of `write`.
    uptick_event_loop::add_periodic_timer(Duration::ZERO, move |timer| {
        if !conn.is_open() {
            timer.cancel();
        }
        for _ in 0..100 {
            conn.write(vec![0; CHUNK]);
            peak.set(peak.get().max(conn.buffered()));
        }
    });
    run_loop();
    assert_eq!(log.text(), "error:ENOBUFS close");
    assert!(max.get() < HARD + CHUNK, "{} bytes were queued", max.get());
}

#[test]
fn a_peer_that_never_reads_triggers_the_write_timeout() {
    let clock = manual_clock();
    let (conn, _peer) = unix_pair();
    let log = Log::new();
    log.states(conn);
    while conn.write(vec![0; 10_000]) {}
    settle();
    clock.advance(Duration::from_secs(31));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_peer_that_never_reads_an_ended_connection_triggers_the_write_timeout() {
    let clock = manual_clock();
    let (conn, _peer) = unix_pair();
    let log = Log::new();
    log.states(conn);
    conn.end_with(vec![0; 8 << 20]);
    settle();
    clock.advance(Duration::from_secs(29));
    settle();
    assert_eq!(log.text(), "");
    clock.advance(Duration::from_secs(2));
    settle();
    assert_eq!(log.text(), "error:ETIMEDOUT close");
}

#[test]
fn a_single_write_of_100_mib_is_sent() {
    const LENGTH: usize = 100 << 20;
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    assert!(!conn.write(patterned(LENGTH)));
    conn.end();
    let reader = thread::spawn(move || read_pattern(peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), LENGTH);
    assert_eq!(log.text(), "close");
}

#[test]
fn bytes_read_and_written_one_at_a_time_are_echoed() {
    const LENGTH: usize = 20_000;
    let server = tcp_server();
    with_connection(server, |conn| {
        conn.on("data", move |chunk: Bytes| {
            for byte in chunk {
                conn.write([byte]);
            }
        });
    });
    let client = client(server, |client| {
        client.set_nodelay(true).unwrap();
        let mut sending = client.try_clone().unwrap();
        let writer = thread::spawn(move || {
            for at in 0..LENGTH {
                sending.write_all(&[pattern(at)]).unwrap();
            }
            sending.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut receiving = client;
        let mut byte = [0];
        for at in 0..LENGTH {
            receiving.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], pattern(at), "at {at}");
        }
        assert_eq!(receiving.read(&mut byte).unwrap(), 0);
        writer.join().unwrap();
    });
    run_loop();
    client.join().unwrap();
}

/// Returns a connection whose socket accepts a few kilobytes, and its peer.
fn small_buffer_pair() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        // The system raises it to the minimum.
        SockRef::from(end).set_send_buffer_size(1).unwrap();
    }
    (Connection::adopt(ours).unwrap(), theirs)
}

#[test]
fn short_writes_lose_no_data() {
    const LENGTH: usize = 3 << 20;
    let (conn, peer) = small_buffer_pair();
    // Long and short chunks, so that short writes end at many different positions.
    let bytes = patterned(LENGTH);
    let mut at = 0;
    for length in [1, 4096, 4097, 10, 65_536, 100_000].into_iter().cycle() {
        let end = (at + length).min(LENGTH);
        conn.write(&bytes[at..end]);
        at = end;
        if at == LENGTH {
            break;
        }
    }
    conn.end();
    let reader = thread::spawn(move || read_pattern(peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), LENGTH);
}

#[test]
fn an_echo_through_sockets_with_small_buffers_loses_no_data() {
    const LENGTH: usize = 2 << 20;
    let (conn, peer) = small_buffer_pair();
    conn.on("data", move |chunk: Bytes| {
        if !conn.write(chunk) {
            conn.pause();
        }
    });
    conn.on("drain", move |()| conn.resume());
    let mut sending = peer.try_clone().unwrap();
    let writer = thread::spawn(move || {
        sending.write_all(&patterned(LENGTH)).unwrap();
        sending.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let reader = thread::spawn(move || read_pattern(peer));
    run_loop();
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), LENGTH);
}

#[test]
fn a_reset_of_a_half_open_connection_is_an_error() {
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.set_allow_half_open(true);
    conn.resume();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    run_until(|| log.text() == "end");
    // A program that still works on a response is notified that the peer is gone.
    reset(peer);
    run_loop();
    assert_eq!(log.text(), "end error:EPIPE close");
}

#[test]
fn a_peer_that_never_stops_sending_does_not_starve_others() {
    let (flooded, mut flooding) = tcp_pair();
    flooded.on("data", |_: Bytes| ());
    let flood = thread::spawn(move || while flooding.write_all(&[0; 1 << 16]).is_ok() {});
    let (conn, mut peer) = tcp_pair();
    conn.on("data", move |chunk: Bytes| conn.write(chunk));
    let client = thread::spawn(move || {
        for round in 0..200_u8 {
            peer.write_all(&[round]).unwrap();
            let mut echoed = [0];
            peer.read_exact(&mut echoed).unwrap();
            assert_eq!(echoed, [round]);
        }
    });
    run_until(|| !conn.is_open());
    client.join().unwrap();
    assert!(flooded.is_open() && flooded.bytes_read() > 0);
    flooded.close();
    run_loop();
    flood.join().unwrap();
}
