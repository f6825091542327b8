//! The error type of the crate.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::Excerpt;
use uptick_event_loop::errno;

/// An error of a datagram socket.
///
/// The text states the operation, the address and the cause, with the errno name if there is one:
/// `binding udp://127.0.0.1:53 failed: Permission denied (EACCES)`. Cloning does not allocate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is not valid, such as one without a port.
    #[error("invalid address \"{address}\": {reason} (EINVAL)")]
    InvalidAddress {
        /// The first 256 bytes of the address, with control characters escaped.
        address: Arc<str>,
        /// The cause, and the expected form.
        reason: &'static str,
    },
    /// A socket could not be bound to its address.
    #[error("binding udp://{local} failed: {}", errno::describe(.source))]
    Bind {
        /// The local address.
        local: SocketAddr,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A socket could not be connected to its peer.
    #[error("connecting to udp://{peer} failed: {}", errno::describe(.source))]
    Connect {
        /// The peer.
        peer: SocketAddr,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A socket of the standard library could not be adopted.
    #[error("taking over a datagram socket failed: {}", errno::describe(.source))]
    Adopt {
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A host name could not be looked up.
    #[error("looking up {host} failed: {reason}")]
    Resolve {
        /// The host name.
        host: Arc<str>,
        /// The cause.
        reason: Arc<str>,
    },
    /// Receiving failed; the socket stays open. On a connected socket the usual cause is that the peer refused an
    /// earlier datagram (ECONNREFUSED).
    #[error("receiving {} failed: {}", ReceiveAddress { local, peer }, errno::describe(.source))]
    Receive {
        /// The socket's local address.
        local: SocketAddr,
        /// The peer of a connected socket.
        peer: Option<SocketAddr>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A received datagram was larger than the socket's limit, and was dropped.
    #[error(
        "receiving from udp://{peer} failed: the datagram is larger than {limit} bytes (EMSGSIZE)"
    )]
    ReceivedTooLarge {
        /// The sender.
        peer: SocketAddr,
        /// The socket's limit, in bytes.
        limit: usize,
    },
    /// A datagram was not sent; the socket stays open.
    #[error("sending to udp://{peer} failed: {}", errno::describe(.source))]
    Send {
        /// The destination.
        peer: SocketAddr,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A datagram was not accepted for sending because it exceeds the maximum size of a datagram.
    #[error(
        "sending {size} bytes to udp://{peer} failed: a datagram holds at most {limit} (EMSGSIZE)"
    )]
    TooLarge {
        /// The destination.
        peer: SocketAddr,
        /// Its size in bytes.
        size: usize,
        /// The maximum size, in bytes.
        limit: usize,
    },
    /// A datagram was not accepted because its destination is an IPv4 address and the socket is an IPv6 one, or the
    /// reverse.
    #[error("sending to udp://{peer} failed: the socket is bound to udp://{local} (EAFNOSUPPORT)")]
    WrongFamily {
        /// The destination.
        peer: SocketAddr,
        /// The socket's local address.
        local: SocketAddr,
    },
    /// A datagram was not accepted because it has no destination: the socket is not connected.
    #[error(
        "sending from udp://{local} failed: the socket is not connected; use `send_to` (EDESTADDRREQ)"
    )]
    NotConnected {
        /// The socket's local address.
        local: SocketAddr,
    },
    /// A datagram was not accepted because the socket is connected to another peer.
    #[error(
        "sending to udp://{peer} failed: the socket is connected to udp://{connected} (EISCONN)"
    )]
    OtherPeer {
        /// The destination.
        peer: SocketAddr,
        /// The socket's peer.
        connected: SocketAddr,
    },
    /// A multicast group could not be joined or left.
    #[error("{operation} the multicast group {group} failed: {}", errno::describe(.source))]
    Multicast {
        /// `joining` or `leaving`.
        operation: &'static str,
        /// The group.
        group: IpAddr,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A socket that was ending could not send its queue before the linger time expired. The queue was discarded.
    #[error(
        "sending {datagrams} queued datagrams from udp://{local} timed out after {after:?} (ETIMEDOUT)"
    )]
    EndTimeout {
        /// The socket's local address.
        local: SocketAddr,
        /// The number of datagrams that were not sent.
        datagrams: usize,
        /// The linger time.
        after: Duration,
    },
    /// A callback panicked. The panic was caught, and its socket closes.
    #[error("a callback of udp://{local} panicked: {message}")]
    Panic {
        /// The socket's local address.
        local: SocketAddr,
        /// The panic message.
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

/// Converts the error to an `io::Error` of the same kind with the same text.
impl From<Error> for io::Error {
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

/// The address in the text of a receive error: the peer of a connected socket, else the local address.
struct ReceiveAddress<'a> {
    local: &'a SocketAddr,
    peer: &'a Option<SocketAddr>,
}

impl fmt::Display for ReceiveAddress<'_> {
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
    fn a_receive_error_names_the_peer_or_else_the_socket() {
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
