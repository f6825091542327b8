//! Exclusive watches: several pollers on one listening socket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread::{sleep, spawn};
use std::time::Duration;

use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{Interest, MioPoller, Poller, Readiness, Table, Token, Trigger};

struct Nothing;

impl Driver for Nothing {
    fn ready(&self, _: Token, _: Readiness) {}

    fn panicked(&self, _: Token, _: &str) {}
}

/// Returns two tokens.
fn tokens() -> (Token, Token) {
    let driver = driver::register(&Nothing);
    let mut table = Table::new();
    let mut token = || table.insert(()).unwrap().token(driver);
    (token(), token())
}

/// Returns the tokens that a poller reports within a time.
fn reported(poller: &mut MioPoller, time: Duration) -> Vec<Token> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(time)).unwrap();
    events.into_iter().map(|(token, _)| token).collect()
}

fn listener_and_client() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, client)
}

#[test]
fn a_connection_wakes_at_least_one_of_the_waiting_pollers_and_not_all() {
    const POLLERS: usize = 2;
    const ROUNDS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let barrier = Arc::new(Barrier::new(POLLERS + 1));
    let (sender, woken) = channel();
    for _ in 0..POLLERS {
        let (listener, barrier, sender) = (
            listener.try_clone().unwrap(),
            Arc::clone(&barrier),
            sender.clone(),
        );
        spawn(move || {
            let (token, _) = tokens();
            let mut poller = MioPoller::new().unwrap();
            poller
                .watch(listener.as_fd(), token, Interest::Read, Trigger::Exclusive)
                .unwrap();
            for _ in 0..ROUNDS {
                barrier.wait();
                let events = reported(&mut poller, Duration::from_millis(400));
                sender.send(events.contains(&token)).unwrap();
                barrier.wait();
            }
        });
    }
    let mut any_poller_not_woken = false;
    for _ in 0..ROUNDS {
        barrier.wait();
        // By then, all pollers are usually waiting. One that is not waiting yet also reports the connection.
        sleep(Duration::from_millis(50));
        let _client = TcpStream::connect(address).unwrap();
        let count = (0..POLLERS).filter(|_| woken.recv().unwrap()).count();
        assert!(count >= 1);
        drop(listener.accept().unwrap());
        any_poller_not_woken |= count < POLLERS;
        if any_poller_not_woken || cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return;
        }
        barrier.wait();
    }
    panic!("each connection woke all pollers");
}

#[test]
fn an_exclusive_watch_reports_in_each_wait() {
    let (listener, _client) = listener_and_client();
    let (token, other) = tokens();
    let mut poller = MioPoller::new().unwrap();
    let fd = listener.as_fd();
    poller
        .watch(fd, token, Interest::Read, Trigger::Exclusive)
        .unwrap();
    for _ in 0..2 {
        assert_eq!(reported(&mut poller, Duration::ZERO), [token]);
        if poller.level_needs_rearming() {
            poller
                .change(fd, token, Interest::Read, Trigger::Exclusive)
                .unwrap();
        }
    }
    poller
        .change(fd, other, Interest::Read, Trigger::Exclusive)
        .unwrap();
    assert_eq!(reported(&mut poller, Duration::ZERO), [other]);
}

#[test]
fn a_forgotten_duplicate_is_not_reported_after_it_is_closed() {
    let (listener, _client) = listener_and_client();
    let (token, _) = tokens();
    let mut poller = MioPoller::new().unwrap();
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::Exclusive] {
        let duplicate = listener.try_clone().unwrap();
        let fd = duplicate.as_fd();
        poller.watch(fd, token, Interest::Read, trigger).unwrap();
        poller.forget(fd).unwrap();
        drop(duplicate);
        assert_eq!(reported(&mut poller, Duration::ZERO), [], "{trigger:?}");
    }
}
