//! The crate's error.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::Excerpt;
use uptick_event_loop::errno;

/// What can go wrong with a datagram socket.
///
/// The text says what failed, on what and why, with the errno name where there is one:
/// `binding udp://127.0.0.1:53 failed: Permission denied (EACCES)`. Cloning allocates nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that cannot be used, whatever the system says.
    #[error("invalid address \"{address}\": {reason} (EINVAL)")]
    InvalidAddress {
        /// The first 256 bytes of the address, with control characters escaped.
        address: Arc<str>,
        /// What is wrong with it, and what would be right.
        reason: &'static str,
    },
    /// A socket could not be bound to its address.
    #[error("binding udp://{local} failed: {}", errno::describe(.source))]
    Bind {
        /// The address.
        local: SocketAddr,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A socket could not be connected to its peer.
    #[error("connecting to udp://{peer} failed: {}", errno::describe(.source))]
    Connect {
        /// The peer.
        peer: SocketAddr,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A socket of the standard library could not be taken over.
    #[error("taking over a datagram socket failed: {}", errno::describe(.source))]
    Adopt {
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A host name could not be looked up.
    #[error("looking up {host} failed: {reason}")]
    Resolve {
        /// The host name.
        host: Arc<str>,
        /// Why it failed.
        reason: Arc<str>,
    },
    /// Receiving failed; the socket goes on. On a connected socket this is, as a rule, the peer's refusal of
    /// something sent before (ECONNREFUSED).
    #[error("receiving {} failed: {}", From { local, peer }, errno::describe(.source))]
    Receive {
        /// The socket's own address.
        local: SocketAddr,
        /// The peer of a connected socket.
        peer: Option<SocketAddr>,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A datagram was larger than the socket takes, and was dropped.
    #[error(
        "receiving from udp://{peer} failed: the datagram is larger than {limit} bytes (EMSGSIZE)"
    )]
    ReceivedTooLarge {
        /// Who sent it.
        peer: SocketAddr,
        /// The largest datagram that the socket takes, in bytes.
        limit: usize,
    },
    /// A datagram was not sent; the socket goes on.
    #[error("sending to udp://{peer} failed: {}", errno::describe(.source))]
    Send {
        /// To whom it was to be sent.
        peer: SocketAddr,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A datagram was refused because none can be so large.
    #[error(
        "sending {size} bytes to udp://{peer} failed: a datagram holds at most {limit} (EMSGSIZE)"
    )]
    TooLarge {
        /// To whom it was to be sent.
        peer: SocketAddr,
        /// Its size in bytes.
        size: usize,
        /// The largest possible size in bytes.
        limit: usize,
    },
    /// A datagram was refused because it has an IPv4 destination and the socket is an IPv6 one, or the reverse.
    #[error("sending to udp://{peer} failed: the socket is bound to udp://{local} (EAFNOSUPPORT)")]
    WrongFamily {
        /// To whom it was to be sent.
        peer: SocketAddr,
        /// The socket's own address.
        local: SocketAddr,
    },
    /// A datagram was refused because it has no destination: the socket is not connected.
    #[error(
        "sending from udp://{local} failed: the socket is not connected, `send_to` is needed (EDESTADDRREQ)"
    )]
    NotConnected {
        /// The socket's own address.
        local: SocketAddr,
    },
    /// A datagram was refused because the socket is connected to somebody else.
    #[error(
        "sending to udp://{peer} failed: the socket is connected to udp://{connected} (EISCONN)"
    )]
    OtherPeer {
        /// To whom it was to be sent.
        peer: SocketAddr,
        /// The socket's peer.
        connected: SocketAddr,
    },
    /// A multicast group could not be joined or left.
    #[error("{what} the multicast group {group} failed: {}", errno::describe(.source))]
    Multicast {
        /// `joining` or `leaving`.
        what: &'static str,
        /// The group.
        group: IpAddr,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A socket that was ending could not send its queue in time, and discarded it.
    #[error(
        "sending {datagrams} queued datagrams from udp://{local} timed out after {after:?} (ETIMEDOUT)"
    )]
    EndTimeout {
        /// The socket's own address.
        local: SocketAddr,
        /// How many datagrams were left.
        datagrams: usize,
        /// How long it was tried.
        after: Duration,
    },
    /// A callback panicked. The panic was caught, and its socket closes.
    #[error("a callback of udp://{local} panicked: {message}")]
    Panic {
        /// The socket's own address.
        local: SocketAddr,
        /// The panic's message.
        message: Arc<str>,
    },
}

impl Error {
    pub(crate) fn invalid_address(address: &str, reason: &'static str) -> Self {
        let address = Excerpt::new(address).to_string().into();
        Error::InvalidAddress { address, reason }
    }

    pub(crate) fn adopt(source: io::Error) -> Self {
        Error::Adopt {
            source: Arc::new(source),
        }
    }
}

/// An `io::Error` of the same kind with the whole text, for interfaces that speak `std::io`.
impl std::convert::From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Bind { source, .. }
            | Error::Connect { source, .. }
            | Error::Adopt { source }
            | Error::Receive { source, .. }
            | Error::Send { source, .. }
            | Error::Multicast { source, .. } => source.kind(),
            Error::InvalidAddress { .. } => io::ErrorKind::InvalidInput,
            Error::EndTimeout { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Where a socket receives from.
struct From<'a> {
    local: &'a SocketAddr,
    peer: &'a Option<SocketAddr>,
}

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "from udp://{peer}"),
            None => write!(f, "on udp://{}", self.local),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_address_is_shortened_between_characters() {
        let error = Error::invalid_address(&"é".repeat(10_000), "the port is missing");
        assert!(error.to_string().len() < 350);
        assert!(error.to_string().contains("é… (20000 bytes)\""));
    }

    #[test]
    fn what_was_received_names_the_peer_or_else_the_socket() {
        let local: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = |peer| Error::Receive {
            local,
            peer,
            source: Arc::new(io::ErrorKind::ConnectionRefused.into()),
        };
        assert_eq!(
            error(None).to_string(),
            "receiving on udp://127.0.0.1:1 failed: connection refused (ECONNREFUSED)"
        );
        let peer = "[::1]:2".parse().ok();
        assert!(
            error(peer)
                .to_string()
                .starts_with("receiving from udp://[::1]:2 failed")
        );
    }

    #[test]
    fn as_an_io_error_it_keeps_its_kind_and_text() {
        let error = Error::invalid_address("x", "the port is missing");
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), text);
    }
}
