//! The options of a new stream, and the default limits.

use std::os::fd::AsFd;
use std::time::Duration;

/// Number of bytes in a write queue from which on `write` returns `false`: 64 KiB.
pub const SOFT_LIMIT: usize = 64 * 1024;

/// Number of bytes in a write queue with which a further write fails the stream: 16 MiB.
pub const HARD_LIMIT: usize = 16 * 1024 * 1024;

/// Maximum time without an acknowledgement from the peer while bytes are queued: 30 s.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Time for which an ended stream waits for the peer's end of stream: 1 s.
pub const LINGER: Duration = Duration::from_secs(1);

/// The kind of a socket, which determines whether a short read has emptied the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFamily {
    /// TCP: a short read has emptied the socket, except at urgent data, which the poller reports.
    Tcp,
    /// A Unix stream socket: a short read has emptied the socket, except after passed descriptors, which the read itself
    /// reports.
    Unix,
    /// Any other socket, such as SCTP, of which a read returns one message: the socket is read until it blocks.
    Other,
}

impl SocketFamily {
    /// Queries the family of a socket from the system.
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

    /// Returns `Other`: on this system, all sockets are read until they block.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn of(_: impl AsFd) -> Self {
        SocketFamily::Other
    }
}

/// The setup of a new stream.
#[derive(Clone, Copy, Debug)]
pub struct TransportOptions {
    /// `true` if the descriptor is a socket, whose writing side can end separately and which can linger.
    pub is_socket: bool,
    /// The kind of socket, if the descriptor is one.
    pub family: SocketFamily,
    /// `true` if the descriptor has no readiness, such as a regular file: the pool of blocking jobs reads and writes it, at
    /// most 64 KiB ahead of the reader.
    pub blocks: bool,
    /// The soft limit of the write queue; see [`SOFT_LIMIT`].
    pub soft_limit: usize,
    /// The hard limit of the write queue; see [`HARD_LIMIT`].
    pub hard_limit: usize,
    /// `true` if the stream stays open for writing after the peer's end of stream.
    pub allow_half_open: bool,
    /// `true` if the stream can be read.
    pub readable: bool,
    /// `true` if the stream can be written.
    pub writable: bool,
    /// `true` if the descriptor may have duplicates, in this process or another: it is then removed from the poller before
    /// it is closed, which costs a system call.
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
