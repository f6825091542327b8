//! Signals that come while the loop waits, reads and writes. They hit the process, so this test has one of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Signal, getpid, kill_process};
use support::*;
use uptick_event_loop::{SIGUSR1, add_signal, remove_signal};
use uptick_socket::prelude::*;

#[test]
fn a_storm_of_signals_costs_no_byte_of_a_transfer() {
    const LENGTH: usize = 16 << 20;
    let seen = Rc::new(Cell::new(0_u64));
    let count = Rc::clone(&seen);
    let listener = add_signal(SIGUSR1, move |_: i32| count.set(count.get() + 1)).unwrap();

    let over = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&over);
    let storm = thread::spawn(move || {
        let mut sent = 0_u64;
        while !stop.load(Ordering::SeqCst) {
            kill_process(getpid(), Signal::USR1).unwrap();
            sent += 1;
        }
        sent
    });

    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    conn.on("data", move |chunk: Bytes| {
        if !conn.write(chunk) {
            conn.pause();
        }
    });
    conn.on("drain", move |()| conn.resume());
    let mut sending = peer.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        sending.write_all(&bytes).unwrap();
        sending.shutdown(Shutdown::Write).unwrap();
        bytes
    });
    let reader = thread::spawn(move || {
        let mut peer = peer;
        let mut bytes = Vec::with_capacity(LENGTH);
        peer.read_to_end(&mut bytes).unwrap();
        bytes
    });
    run_until(|| !conn.is_open());
    let (sent, received) = (writer.join().unwrap(), reader.join().unwrap());
    over.store(true, Ordering::SeqCst);
    let signals = storm.join().unwrap();
    // All of them are sent, and handled, before the last listener goes: without one they would end the process. Signals that are
    // pending are one with those sent now.
    for _ in 0..3 {
        settle();
        let before = seen.get();
        kill_process(getpid(), Signal::USR1).unwrap();
        run_until(|| seen.get() > before);
    }
    remove_signal(listener);

    assert!(
        received == sent,
        "{} of {LENGTH} bytes came back",
        received.len()
    );
    assert!(log.text().ends_with("end close"), "{}", log.text());
    assert!(
        signals > 0 && seen.get() > 0,
        "{} of {signals} seen",
        seen.get()
    );
    run();
}
