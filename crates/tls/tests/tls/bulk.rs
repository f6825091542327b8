//! Large transfers and slow readers.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::add_timer;
use uptick_socket::prelude::*;

use crate::support::{Identity, Log, client, hang_up, join, tls_server, until};

const TOTAL: usize = 12 * 1024 * 1024;

/// Returns a sequence that reveals lost, duplicated or reordered pieces.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length)
        .map(|i| (i % 251) as u8 ^ (i >> 14) as u8)
        .collect()
}

#[test]
fn twelve_mebibytes_are_received_completely_by_a_reader_that_pauses() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let received = Rc::new(Cell::new(0));
    let log = Log::default();
    let (count, seen) = (Rc::clone(&received), log.clone());
    server.on("connection", move |conn: Connection| {
        let count = Rc::clone(&count);
        let mut chunks = 0;
        conn.on("data", move |chunk: Bytes| {
            assert!(chunk.len() <= 64 * 1024);
            assert!(chunk == pattern(count.get(), chunk.len()));
            count.set(count.get() + chunk.len());
            chunks += 1;
            if chunks % 32 == 0 {
                conn.pause();
                add_timer(Duration::from_millis(1), move || conn.resume());
            }
        });
        let log = seen.clone();
        conn.on("end", move |()| log.add("end"));
    });
    let peer = client(server, identity.client(), |mut tls| {
        for from in (0..TOTAL).step_by(100_000) {
            let piece = pattern(from, 100_000.min(TOTAL - from));
            tls.write_all(&piece).unwrap();
        }
        hang_up(tls);
    });
    join(peer);
    until(|| log.has("end"));
    assert_eq!(received.get(), TOTAL);
}

#[test]
fn twelve_mebibytes_are_sent_completely_to_a_slow_reader_within_the_write_limits() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let most = Rc::new(Cell::new(0));
    let peak = Rc::clone(&most);
    server.on("connection", move |conn: Connection| {
        let peak = Rc::clone(&peak);
        let mut from = 0;
        let mut fill = move || {
            while from < TOTAL {
                let piece = pattern(from, 30_000.min(TOTAL - from));
                from += piece.len();
                let more = conn.write(piece);
                peak.set(peak.get().max(conn.buffered()));
                if !more && from < TOTAL {
                    return;
                }
            }
            conn.end();
        };
        fill();
        conn.on("drain", move |()| fill());
    });
    let peer = client(server, identity.client(), |mut tls| {
        let mut buffer = vec![0; 50_000];
        let mut received = 0;
        loop {
            let count = tls.read(&mut buffer).unwrap();
            if count == 0 {
                return received;
            }
            assert!(buffer[..count] == pattern(received, count));
            received += count;
        }
    });
    assert_eq!(join(peer), TOTAL);
    let most = most.get();
    assert!(most < 128 * 1024, "{most} bytes were queued");
}

#[test]
fn an_echo_with_backpressure_loses_no_data() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| {
            if !conn.write(chunk) {
                conn.pause();
            }
        });
        conn.on("drain", move |()| conn.resume());
    });
    let peer = client(server, identity.client(), |mut tls| {
        let mut echo = vec![0; 256 * 1024];
        for from in (0..TOTAL).step_by(echo.len()) {
            let piece = pattern(from, echo.len());
            tls.write_all(&piece).unwrap();
            tls.read_exact(&mut echo).unwrap();
            assert!(echo == piece);
        }
    });
    join(peer);
}
