//! Support for the tests: streams over socket pairs, recorders, and iterations of the loop.
#![allow(dead_code, reason = "each test program uses only a part")]

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};
use uptick_stream::{DuplexResourceStream, Error};

/// The recorded events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    /// Returns the entries so far, joined, and clears the log.
    pub(crate) fn take(&self) -> String {
        self.0.borrow_mut().drain(..).collect::<Vec<_>>().join(",")
    }

    /// Returns the number of entries.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Records all events of a stream: the text of `data`, the last word of `error`.
    pub(crate) fn recording(stream: DuplexResourceStream) -> Log {
        let log = Log::default();
        log.listen(stream, "");
        log
    }

    pub(crate) fn listen(&self, stream: DuplexResourceStream, prefix: &'static str) {
        let log = self.clone();
        stream.on("data", move |chunk: Bytes| {
            log.note(format!("{prefix}{}", String::from_utf8_lossy(&chunk)));
        });
        self.listen_without_data(stream, prefix);
    }

    pub(crate) fn listen_without_data(&self, stream: DuplexResourceStream, prefix: &'static str) {
        for event in ["end", "drain", "close"] {
            let log = self.clone();
            stream.on(event, move |()| log.note(format!("{prefix}{event}")));
        }
        let log = self.clone();
        stream.on("error", move |error: Error| {
            let text = error.to_string();
            let last = text.rsplit(' ').next().unwrap_or_default();
            log.note(format!("{prefix}error {last}"));
        });
    }
}

/// Returns a stream and the non-blocking peer of its socket.
pub(crate) fn pair() -> (DuplexResourceStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (DuplexResourceStream::new(ours).unwrap(), theirs)
}

/// Runs non-waiting iterations until everything that is ready should be done.
pub(crate) fn turn() {
    for _ in 0..8 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Runs the loop until `done` returns `true`, for at most 20 s.
#[track_caller]
pub(crate) fn run_until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the condition was not met within 20 s"
        );
        EventLoop::current()
            .run_once(Some(Duration::from_millis(20)))
            .unwrap();
    }
}

/// Returns the bytes that have arrived at the peer, and whether they end with end of stream.
pub(crate) fn arrived(peer: &mut UnixStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (all, false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (all, true),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn text(peer: &mut UnixStream) -> String {
    String::from_utf8(arrived(peer).0).unwrap()
}

/// Fills the socket, so that later writes are queued; returns the number of bytes written.
pub(crate) fn fill(stream: DuplexResourceStream) -> usize {
    let mut written = 0;
    while stream.buffered() == 0 {
        stream.write(vec![b'.'; 4096]);
        written += 4096;
        turn();
    }
    written
}

pub(crate) fn send(peer: &mut UnixStream, bytes: impl AsRef<[u8]>) {
    peer.write_all(bytes.as_ref()).unwrap();
}

/// Installs a loop for the thread whose clock advances only when the loop waits.
pub(crate) fn manual_clock() -> (ManualClock, ScriptedPoller) {
    let clock = ManualClock::new();
    let poller = ScriptedPoller::new(&clock);
    EventLoop::install(poller.clone(), clock.clone()).unwrap();
    (clock, poller)
}

/// Returns the number of open descriptors of the process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
