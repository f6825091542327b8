//! Helpers for the tests of this crate.
#![allow(dead_code, reason = "not every test file uses everything")]

use std::cell::RefCell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_datagram::DatagramSocket;
use uptick_event_loop::EventLoop;

/// The payload of the `message` event.
pub(crate) type Message = (Bytes, SocketAddr);

/// Runs the loop until it has nothing left to wait for; fails if that takes more than 20 s.
pub(crate) fn run() {
    run_while(|| true);
}

/// Runs the loop while the condition holds and the loop has something to wait for.
pub(crate) fn run_while(condition: impl Fn() -> bool) {
    let event_loop = EventLoop::current();
    let start = Instant::now();
    while event_loop.is_alive() && condition() {
        event_loop
            .run_once(Some(Duration::from_millis(20)))
            .unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the loop is still waiting"
        );
    }
}

/// Runs one iteration without waiting.
pub(crate) fn run_once() {
    EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
}

/// Returns the local address of a socket without the scheme.
pub(crate) fn address(socket: DatagramSocket) -> SocketAddr {
    let uri = socket.local_address().expect("an open socket");
    uri.strip_prefix("udp://").unwrap().parse().unwrap()
}

/// Returns a bound socket and one that is connected to it.
pub(crate) fn pair() -> (DatagramSocket, DatagramSocket) {
    let server = DatagramSocket::bind("127.0.0.1:0").unwrap();
    let client = DatagramSocket::connect(server.local_address().unwrap()).unwrap();
    (server, client)
}

/// A log of events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(",")
    }
}
