//! A blocking client for the tests of the examples.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::program::TIMEOUT;

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A client with timeouts for all operations.
pub(crate) struct Peer {
    socket: BufReader<Socket>,
}

impl Peer {
    pub(crate) fn connect(uri: &str) -> Peer {
        let socket = if let Some(address) = uri.strip_prefix("tcp://") {
            let tcp = TcpStream::connect(address).unwrap();
            tcp.set_read_timeout(Some(TIMEOUT)).unwrap();
            tcp.set_write_timeout(Some(TIMEOUT)).unwrap();
            Socket::Tcp(tcp)
        } else {
            let unix = UnixStream::connect(uri.strip_prefix("unix://").unwrap()).unwrap();
            unix.set_read_timeout(Some(TIMEOUT)).unwrap();
            unix.set_write_timeout(Some(TIMEOUT)).unwrap();
            Socket::Unix(unix)
        };
        Peer {
            socket: BufReader::new(socket),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes that the server may refuse. Returns `true` if they were sent.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// Shuts down writing.
    pub(crate) fn finish(&mut self) {
        match self.socket.get_ref() {
            Socket::Tcp(tcp) => tcp.shutdown(Shutdown::Write).unwrap(),
            Socket::Unix(unix) => unix.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Reads the next line, without its line ending.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended after {line:?}");
        line.pop();
        line
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Reads `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads everything until the server closes or resets the connection.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.socket.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not close the connection: {error}"),
        }
        bytes
    }

    /// Checks that the server closes the connection without sending anything.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.read_to_end(), b"");
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => tcp.read(buffer),
            Socket::Unix(unix) => unix.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => tcp.write(bytes),
            Socket::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
