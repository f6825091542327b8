//! Signals during waiting, reading and writing, and shutdown on signals. Signals affect the whole process, so each test
//! uses different ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use support::*;
use uptick_event_loop::{
    Error as LoopError, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, add_signal, add_timer, remove_signal,
};
use uptick_socket::prelude::*;

#[test]
fn a_transfer_loses_no_byte_during_many_signals() {
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
    // All signals must be sent and handled before the last listener is removed, because a signal without a listener
    // ends the process. Pending signals are merged with those sent now.
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
    run_loop();
}

fn send_later(signal: Signal, milliseconds: u64) {
    add_timer(Duration::from_millis(milliseconds), move || {
        kill_process(getpid(), signal).unwrap();
    });
}

/// Serves one client that stays connected, and returns after the loop has ended.
fn serve_until_the_second_signal<S: ServerInterface>(server: S, signals: [Signal; 2]) {
    let log = Log::new();
    let noted = log.clone();
    server.on(S::CONNECTION, move |_| noted.add("connection"));
    let noted = log.clone();
    server.on(S::CLOSE, move |()| noted.add("close"));
    server
        .shutdown_on(signals.map(Signal::as_raw), TIMEOUT * 10)
        .unwrap();
    let address = server.address().unwrap();
    let address = address.strip_prefix("tcp://").unwrap().to_owned();
    let mut client = std::net::TcpStream::connect(address).unwrap();
    run_until(|| log.text() == "connection");

    let begin = Instant::now();
    send_later(signals[0], 1);
    run_until(|| server.address().is_none());
    assert_eq!(log.text(), "connection");
    send_later(signals[1], 1);
    run_loop();
    assert_eq!(log.text(), "connection close");
    assert_eq!(client.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(begin.elapsed() < TIMEOUT);
}

#[test]
fn the_second_signal_closes_the_connections_of_any_server() {
    let signals = [Signal::USR2, Signal::HUP];
    serve_until_the_second_signal(Server::bind(0).unwrap(), signals);
    let limited = LimitingServer::new(Server::bind(0).unwrap(), 1, false);
    serve_until_the_second_signal(limited, signals);
}

#[test]
fn a_signal_ends_a_server_without_clients_and_the_loop() {
    let server = Server::bind(0).unwrap();
    server.on("connection", |_: Connection| ());
    server.shutdown_on([SIGWINCH], TIMEOUT).unwrap();
    send_later(Signal::WINCH, 1);
    run_loop();
    assert_eq!(server.address(), None);
}

#[test]
fn a_shutdown_in_a_signal_listener_ends_the_loop() {
    let server = Server::bind(0).unwrap();
    server.on("connection", |_: Connection| ());
    let id = add_signal(Signal::URG.as_raw(), move |_| {
        drop(server.shutdown(TIMEOUT))
    });
    send_later(Signal::URG, 1);
    run_loop();
    assert_eq!(server.address(), None);
    id.into_iter().for_each(remove_signal);
}

#[test]
fn a_signal_that_cannot_be_caught_is_refused() {
    let server = Server::bind(0).unwrap();
    let refused = server.shutdown_on([SIGUSR2, SIGHUP, 9], Duration::ZERO);
    assert!(matches!(refused, Err(LoopError::Signal { signal: 9, .. })));
    server.close();
}
