//! How a stream is set up, and the limits that it has by default.

use std::os::fd::AsFd;
use std::time::Duration;

/// The number of bytes in a write queue from which on `write` returns `false`: 64 KiB.
pub const SOFT_LIMIT: usize = 64 * 1024;

/// The number of bytes in a write queue with which a further write fails the stream: 16 MiB.
pub const HARD_LIMIT: usize = 16 * 1024 * 1024;

/// How long a peer may acknowledge nothing while bytes wait for it: 30 s.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// How long an ended stream waits for the peer's end: 1 s.
pub const LINGER: Duration = Duration::from_secs(1);

/// The kind of a socket, as far as reading depends on it: whether a read that leaves room has emptied the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFamily {
    /// TCP: it has, except at urgent data, which the poller reports.
    Tcp,
    /// A Unix stream socket: it has, except behind passed descriptors, which the read itself reports.
    Unix,
    /// Any other, such as SCTP, of which a read returns one message: the socket is read until it blocks.
    Other,
}

impl SocketFamily {
    /// Asks the system for the family of a socket.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn of(socket: impl AsFd) -> Self {
        use rustix::net::sockopt::{socket_domain, socket_protocol};
        use rustix::net::{AddressFamily, ipproto};

        match socket_domain(&socket) {
            Ok(AddressFamily::UNIX) => SocketFamily::Unix,
            Ok(AddressFamily::INET | AddressFamily::INET6)
                if socket_protocol(&socket) == Ok(Some(ipproto::TCP)) =>
            {
                SocketFamily::Tcp
            }
            _ => SocketFamily::Other,
        }
    }

    /// The family does not matter here: all sockets are read until they block.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn of(_: impl AsFd) -> Self {
        SocketFamily::Other
    }
}

/// The setup of a new stream.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// Whether the descriptor is a socket: it can end its side and linger.
    pub is_socket: bool,
    /// The kind of socket, where it is one.
    pub family: SocketFamily,
    /// Whether the descriptor has no readiness to wait for, as regular files: the pool of blocking jobs reads and
    /// writes it, 64 KiB ahead of the reader at most.
    pub blocks: bool,
    /// See [`SOFT_LIMIT`].
    pub soft_limit: usize,
    /// See [`HARD_LIMIT`].
    pub hard_limit: usize,
    /// Whether the stream stays open for writing after the peer's end.
    pub allow_half_open: bool,
    /// Whether the stream can be read.
    pub readable: bool,
    /// Whether the stream can be written.
    pub writable: bool,
    /// Whether the descriptor may have duplicates, in this process or another: it is removed from the poller before it is
    /// closed, which costs a system call.
    pub shared: bool,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            is_socket: true,
            family: SocketFamily::Tcp,
            blocks: false,
            soft_limit: SOFT_LIMIT,
            hard_limit: HARD_LIMIT,
            allow_half_open: false,
            readable: true,
            writable: true,
            shared: false,
        }
    }
}
