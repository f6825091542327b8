//! The conformance suite for duplex streams, run on connections over TCP. The streams of the stream crate pass the same
//! suite.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../../../stream/tests/conformance/suite.rs"]
mod suite;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use suite::Fixture;
use uptick_socket::Connection;

struct Tcp;

impl Fixture for Tcp {
    type Stream = Connection;
    type Peer = TcpStream;

    fn open() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        (Connection::adopt(socket).unwrap(), peer)
    }

    fn send(peer: &mut TcpStream, bytes: &[u8]) {
        peer.write_all(bytes).unwrap();
    }

    fn finish(peer: &mut TcpStream) {
        peer.shutdown(Shutdown::Write).unwrap();
    }

    /// Closing a socket with unread data resets the connection.
    fn fail(stream: Connection, peer: TcpStream) {
        stream.write("never read");
        suite::turn();
        drop(peer);
    }

    fn receive(peer: &mut TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        match peer.read_to_end(&mut all) {
            Ok(_) => all,
            Err(error) if error.kind() == ErrorKind::WouldBlock => all,
            Err(error) => panic!("{error}"),
        }
    }
}

suite::conformance!(Tcp);
