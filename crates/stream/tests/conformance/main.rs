//! The conformance suite for duplex streams, run on all kinds of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod suite;

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use bytes::Bytes;
use suite::Fixture;
use uptick_emitter::Emitter;
use uptick_stream::{CompositeStream, DuplexResourceStream, ThroughStream};

/// A stream over a socket pair.
struct Socket;

impl Fixture for Socket {
    type Stream = DuplexResourceStream;
    type Peer = UnixStream;

    fn open() -> (DuplexResourceStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (DuplexResourceStream::new(ours).unwrap(), theirs)
    }

    fn send(peer: &mut UnixStream, bytes: &[u8]) {
        peer.write_all(bytes).unwrap();
    }

    fn finish(peer: &mut UnixStream) {
        peer.shutdown(Shutdown::Write).unwrap();
    }

    /// Closing a socket with unread data resets the connection.
    fn fail(stream: DuplexResourceStream, peer: UnixStream) {
        stream.write("never read");
        suite::turn();
        drop(peer);
    }

    fn receive(peer: &mut UnixStream) -> Vec<u8> {
        let mut all = Vec::new();
        match peer.read_to_end(&mut all) {
            Ok(_) => all,
            Err(error) if error.kind() == ErrorKind::WouldBlock => all,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A through stream, which is its own peer.
struct Through;

/// The peer of a through stream.
struct Loop {
    stream: ThroughStream,
    received: Option<Rc<RefCell<Vec<u8>>>>,
}

impl Loop {
    fn new() -> Loop {
        let stream = ThroughStream::with(|chunk: Bytes| {
            if chunk == "fail" {
                Err("failed on purpose".into())
            } else {
                Ok(chunk)
            }
        });
        Loop {
            stream,
            received: None,
        }
    }

    fn receive(&mut self) -> Vec<u8> {
        let stream = self.stream;
        let received = self.received.get_or_insert_with(|| {
            let received = Rc::<RefCell<Vec<u8>>>::default();
            let all = Rc::clone(&received);
            stream.on("data", move |chunk: Bytes| {
                all.borrow_mut().extend_from_slice(&chunk);
            });
            received
        });
        suite::turn();
        received.take()
    }
}

impl Fixture for Through {
    type Stream = ThroughStream;
    type Peer = Loop;

    fn open() -> (ThroughStream, Loop) {
        let peer = Loop::new();
        (peer.stream, peer)
    }

    fn send(peer: &mut Loop, bytes: &[u8]) {
        peer.stream.write(bytes);
    }

    fn finish(peer: &mut Loop) {
        peer.stream.end();
    }

    fn fail(_: ThroughStream, peer: Loop) {
        peer.stream.write("fail");
    }

    fn receive(peer: &mut Loop) -> Vec<u8> {
        peer.receive()
    }
}

/// Two through streams combined into one stream.
struct Composite;

impl Fixture for Composite {
    type Stream = CompositeStream;
    type Peer = (Loop, Loop);

    fn open() -> (CompositeStream, (Loop, Loop)) {
        let (incoming, outgoing) = (Loop::new(), Loop::new());
        let stream = CompositeStream::new(incoming.stream, outgoing.stream);
        (stream, (incoming, outgoing))
    }

    fn send((incoming, _): &mut (Loop, Loop), bytes: &[u8]) {
        incoming.stream.write(bytes);
    }

    fn finish((incoming, _): &mut (Loop, Loop)) {
        incoming.stream.end();
    }

    fn fail(_: CompositeStream, (incoming, _): (Loop, Loop)) {
        incoming.stream.write("fail");
    }

    fn receive((_, outgoing): &mut (Loop, Loop)) -> Vec<u8> {
        outgoing.receive()
    }
}

mod socket {
    crate::suite::conformance!(crate::Socket);
}

mod through {
    crate::suite::conformance!(crate::Through);
}

mod composite {
    crate::suite::conformance!(crate::Composite);
}
