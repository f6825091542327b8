//! A client and a log for the tests of server wrappers.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::EventLoop;
use uptick_socket::ServerInterface;

/// Runs the loop until a condition holds.
#[track_caller]
pub(crate) fn until(mut happened: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happened() {
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "the condition did not become true"
        );
        turn();
    }
}

/// Runs one iteration, which waits at most 10 ms.
pub(crate) fn turn() {
    let event_loop = EventLoop::current();
    event_loop
        .run_once(Some(Duration::from_millis(10)))
        .unwrap();
}

/// Runs enough iterations to handle everything that is ready.
pub(crate) fn settle() {
    for _ in 0..4 {
        EventLoop::current()
            .run_once(Some(Duration::from_millis(1)))
            .unwrap();
    }
}

/// A log of events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Display) {
        self.0.borrow_mut().push(line.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// A non-blocking client that is served by the test's own loop.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    over: bool,
}

impl Client {
    pub(crate) fn connect<S: ServerInterface>(server: S) -> Client {
        let address = server.address().unwrap();
        let stream = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
        Client::new(stream)
    }

    pub(crate) fn new(stream: TcpStream) -> Client {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            received: Vec::new(),
            over: false,
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while !self.over {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.over = true,
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.over = true,
            }
        }
    }

    /// Waits until the server has ended the connection, and returns the received text.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> String {
        until(|| {
            self.read();
            self.over
        });
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        until(|| {
            self.read();
            self.received.len() >= text.len() || self.over
        });
        assert_eq!(String::from_utf8_lossy(&self.received), text);
        self.received.clear();
    }
}
