//! The error type of the socket crate.

use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use uptick_emitter::Excerpt;
use uptick_event_loop::errno;
use uptick_stream::Error as StreamError;

use crate::Address;

/// An error of a server, a connector or a connection.
///
/// The text states the operation, the address and the cause, with the errno name if there is one:
/// `listening on tcp://127.0.0.1:80 failed: Permission denied (EACCES)`. Cloning does not allocate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is not valid for listening or connecting.
    #[error("invalid address \"{uri}\": {reason} (EINVAL)")]
    InvalidUri {
        /// The first 256 bytes of the address, with control characters escaped.
        uri: Arc<str>,
        /// The cause, and the expected form.
        reason: Arc<str>,
    },
    /// The environment variables that announce inherited sockets (`LISTEN_FDS` and related ones) are invalid.
    #[error("taking over inherited sockets failed: {reason} (EINVAL)")]
    Inherit {
        /// The variable and the problem with it.
        reason: Arc<str>,
    },
    /// A server could not start listening.
    #[error("listening on {uri} failed: {source}")]
    Listen {
        /// The address to listen on.
        uri: Arc<str>,
        /// The cause.
        source: Cause,
    },
    /// A server could not accept a connection; it continues listening.
    #[error("accepting a connection on {uri} failed: {source}")]
    Accept {
        /// The server's address.
        uri: Arc<str>,
        /// The cause.
        source: Cause,
    },
    /// An outgoing connection could not be established.
    #[error("connecting to {uri} failed: {source}")]
    Connect {
        /// The address to connect to.
        uri: Arc<str>,
        /// The cause.
        source: Cause,
    },
    /// A layer above the socket, such as TLS, failed while a connection was being established.
    #[error("connecting to {uri} failed {when}: {source}")]
    ConnectLayer {
        /// The address to connect to.
        uri: Arc<str>,
        /// The phase in which it failed, such as `during the TLS handshake`.
        when: Arc<str>,
        /// The error of the layer.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A host name could not be looked up.
    #[error("looking up {host} failed: {source}")]
    Resolve {
        /// The host name.
        host: Arc<str>,
        /// The cause.
        source: Cause,
    },
    /// Reading from a connection failed, and the connection closes.
    #[error("reading from {peer} failed: {source}")]
    Read {
        /// The remote address of the connection.
        peer: Address,
        /// The cause.
        source: Cause,
    },
    /// Writing to a connection failed, and the connection closes.
    #[error("writing to {peer} failed: {source}")]
    Write {
        /// The remote address of the connection.
        peer: Address,
        /// The cause.
        source: Cause,
    },
    /// The write queue of a connection was full, because the peer reads too slowly.
    #[error("writing to {peer} failed: the write queue is at its limit of {limit} bytes (ENOBUFS)")]
    BufferFull {
        /// The remote address of the connection.
        peer: Address,
        /// The hard limit of the write queue, in bytes.
        limit: usize,
    },
    /// An operation timed out.
    #[error("{operation} timed out after {after:?} (ETIMEDOUT)")]
    Timeout {
        /// The operation, such as `connecting to tcp://192.0.2.1:80`.
        operation: Arc<str>,
        /// The timeout.
        after: Duration,
    },
    /// A connection was refused because its client connects too often.
    #[error("connection from {peer} refused: the client connects too often{}",
        .retry_after.map(|time| format!("; retry after {time:?}")).unwrap_or_default())]
    RateLimited {
        /// The address of the client.
        peer: Address,
        /// The time until another connection would be accepted; `None` if none ever is.
        retry_after: Option<Duration>,
    },
    /// A connection was refused because the maximum number of connections is open.
    #[error("connection from {peer} refused: {limit} connections are open{}, which is the limit",
        if *.per_client { " from that client" } else { "" })]
    TooManyConnections {
        /// The address of the client.
        peer: Address,
        /// The limit that was reached.
        limit: usize,
        /// `true` for the limit of a single client address, `false` for the limit of the server.
        per_client: bool,
    },
    /// A connection did not begin with the expected PROXY protocol header.
    #[error("connection from {peer} refused: {reason} (EPROTO)")]
    ProxyProtocol {
        /// The peer: the proxy, or a client that claims to be one.
        peer: Address,
        /// The problem with the header.
        reason: Arc<str>,
    },
    /// A layer of the connection above the socket, such as TLS, failed.
    #[error("{operation} with {peer} failed: {source}")]
    Filter {
        /// The operation of the layer, such as `TLS handshake`.
        operation: Arc<str>,
        /// The remote address of the connection.
        peer: Address,
        /// The error of the layer.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A callback panicked. The panic was caught, and the connection that the callback belongs to closes.
    #[error("a callback of {object} panicked: {message}")]
    Panic {
        /// The server or connection that the callback belongs to.
        object: Arc<str>,
        /// The panic message.
        message: Arc<str>,
    },
    /// The queue of a [`Remote`](crate::Remote) is full.
    #[error(
        "posting to {object} failed: {bytes} bytes and {operations} operations are already queued (ENOBUFS)"
    )]
    RemoteFull {
        /// The connection or server.
        object: Arc<str>,
        /// The number of bytes in the queue.
        bytes: usize,
        /// The number of operations in the queue.
        operations: usize,
    },
    /// The server or connection was closed, on either side, before the operation completed.
    #[error("{object} is closed (ENOTCONN)")]
    Closed {
        /// The closed server or connection.
        object: Arc<str>,
    },
}

impl Error {
    pub(crate) fn invalid_uri(uri: &str, reason: impl Into<Arc<str>>) -> Self {
        Self::InvalidUri {
            uri: Excerpt::new(uri).to_string().into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn listen(uri: impl Display, source: impl Into<Cause>) -> Self {
        Self::Listen {
            uri: uri.to_string().into(),
            source: source.into(),
        }
    }

    pub(crate) fn accept(uri: impl Display, source: impl Into<Cause>) -> Self {
        Self::Accept {
            uri: uri.to_string().into(),
            source: source.into(),
        }
    }

    pub(crate) fn connect(uri: impl Display, source: impl Into<Cause>) -> Self {
        Self::Connect {
            uri: uri.to_string().into(),
            source: source.into(),
        }
    }

    /// Creates the error of a server whose `connection` callback has panicked.
    pub(crate) fn callback_panic(server: Option<String>, message: &str) -> Self {
        let uri = server.unwrap_or_default();
        Self::Panic {
            object: format!("the server {uri}").into(),
            message: message.into(),
        }
    }

    /// Converts the error of the stream of a connection.
    pub(crate) fn from_stream(peer: &Address, error: StreamError) -> Self {
        let peer = peer.clone();
        match error {
            StreamError::Read { source } => Self::Read {
                peer,
                source: source.into(),
            },
            StreamError::Write { source } => Self::Write {
                peer,
                source: source.into(),
            },
            StreamError::BufferFull { limit } => Self::BufferFull { peer, limit },
            StreamError::WriteStalled { after } => Self::Timeout {
                operation: format!("writing to {peer}").into(),
                after,
            },
            StreamError::Idle { after } => Self::Timeout {
                operation: format!("the idle connection with {peer}").into(),
                after,
            },
            StreamError::Filter { operation, source } => Self::Filter {
                operation,
                peer,
                source,
            },
            StreamError::Panic { message } => Self::Panic {
                object: format!("the connection with {peer}").into(),
                message,
            },
            StreamError::Open { source, .. } | StreamError::Watch { source } => Self::Connect {
                uri: peer.to_string().into(),
                source: source.into(),
            },
            _ => Self::Closed {
                object: format!("the connection with {peer}").into(),
            },
        }
    }

    /// Returns the corresponding kind of I/O error.
    pub fn io_kind(&self) -> io::ErrorKind {
        match self.code() {
            ErrorCode::System(error) => error.kind(),
            ErrorCode::Errno(errno) => io::Error::from(errno).kind(),
            ErrorCode::Unknown => io::ErrorKind::Other,
        }
    }

    /// Returns the error number of the operating system, or the corresponding one.
    ///
    /// `None` for errors without a corresponding number, such as a panic.
    pub fn errno(&self) -> Option<i32> {
        match self.code() {
            ErrorCode::System(error) => error.raw_os_error(),
            ErrorCode::Errno(errno) => Some(errno.raw_os_error()),
            ErrorCode::Unknown => None,
        }
    }

    /// Returns the name of the error number, such as `"ECONNREFUSED"`.
    pub fn errno_name(&self) -> Option<&'static str> {
        match self.code() {
            ErrorCode::System(error) => errno::name(error),
            ErrorCode::Errno(errno) => errno::name(&errno.into()),
            ErrorCode::Unknown => None,
        }
    }

    fn code(&self) -> ErrorCode<'_> {
        match self {
            Self::Listen { source, .. }
            | Self::Accept { source, .. }
            | Self::Connect { source, .. }
            | Self::Resolve { source, .. }
            | Self::Read { source, .. }
            | Self::Write { source, .. } => ErrorCode::System(source.io_error()),
            Self::Filter { source, .. } | Self::ConnectLayer { source, .. } => {
                match io_error_in(&**source) {
                    Some(error) => ErrorCode::System(error),
                    None => ErrorCode::Unknown,
                }
            }
            Self::InvalidUri { .. } | Self::Inherit { .. } => ErrorCode::Errno(Errno::INVAL),
            Self::BufferFull { .. } | Self::RemoteFull { .. } => ErrorCode::Errno(Errno::NOBUFS),
            Self::Timeout { .. } => ErrorCode::Errno(Errno::TIMEDOUT),
            Self::ProxyProtocol { .. } => ErrorCode::Errno(Errno::PROTO),
            Self::Closed { .. } => ErrorCode::Errno(Errno::NOTCONN),
            Self::TooManyConnections { .. } | Self::RateLimited { .. } | Self::Panic { .. } => {
                ErrorCode::Unknown
            }
        }
    }
}

/// Returns the first I/O error in a chain of errors.
fn io_error_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let shared = error.downcast_ref::<Arc<io::Error>>();
        if let Some(found) = shared.map(|error| &**error).or(error.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The system error that corresponds to an [`Error`].
enum ErrorCode<'a> {
    System(&'a io::Error),
    Errno(Errno),
    Unknown,
}

/// Converts the error to an `io::Error` of the same kind with the same text.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

/// The cause of a failed operation: a system error, or an explanation that is more helpful than the system's text.
///
/// # Examples
///
/// ```
/// use uptick_socket::Cause;
///
/// let cause = Cause::from(std::io::Error::from_raw_os_error(13));
/// # #[cfg(target_os = "linux")]
/// assert_eq!(cause.to_string(), "Permission denied (EACCES)");
/// ```
#[derive(Clone, Debug)]
pub struct Cause {
    explanation: Option<Arc<str>>,
    error: Arc<io::Error>,
}

impl Cause {
    /// Creates a cause with an explanation and the corresponding error number.
    pub(crate) fn explained(errno: Errno, explanation: impl Into<Arc<str>>) -> Self {
        Self {
            explanation: Some(explanation.into()),
            error: Arc::new(errno.into()),
        }
    }

    /// Returns the I/O error without the explanation.
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }
}

impl From<Arc<io::Error>> for Cause {
    fn from(error: Arc<io::Error>) -> Self {
        Self {
            explanation: None,
            error,
        }
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(explanation) = &self.explanation else {
            return f.write_str(&errno::describe(&self.error));
        };
        f.write_str(explanation)?;
        match errno::name(&self.error) {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.error)
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self {
            explanation: None,
            error: Arc::new(error),
        }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer() -> Address {
        SocketAddr::from(([192, 0, 2, 7], 4711)).into()
    }

    #[test]
    fn every_text_states_the_operation_the_address_and_the_cause() {
        let refused = Errno::CONNREFUSED;
        let texts = [
            (
                Error::listen("tcp://127.0.0.1:80", Errno::ACCESS),
                "listening on tcp://127.0.0.1:80 failed: Permission denied (EACCES)",
            ),
            (
                Error::connect("tcp://127.0.0.1:1", refused),
                "connecting to tcp://127.0.0.1:1 failed: Connection refused (ECONNREFUSED)",
            ),
            (
                Error::accept("tcp://[::1]:80", Errno::NOBUFS),
                "accepting a connection on tcp://[::1]:80 failed: \
                 No buffer space available (ENOBUFS)",
            ),
            (
                Error::listen("fd://3", Cause::explained(Errno::ISCONN, "it is in use")),
                "listening on fd://3 failed: it is in use (EISCONN)",
            ),
            (
                Error::invalid_uri("a\nb", "the host must be an IP address"),
                "invalid address \"a\\nb\": the host must be an IP address (EINVAL)",
            ),
            (
                Error::Read {
                    peer: peer(),
                    source: refused.into(),
                },
                "reading from tcp://192.0.2.7:4711 failed: Connection refused (ECONNREFUSED)",
            ),
            (
                Error::Write {
                    peer: peer(),
                    source: Errno::PIPE.into(),
                },
                "writing to tcp://192.0.2.7:4711 failed: Broken pipe (EPIPE)",
            ),
            (
                Error::BufferFull {
                    peer: peer(),
                    limit: 1024,
                },
                "writing to tcp://192.0.2.7:4711 failed: \
                 the write queue is at its limit of 1024 bytes (ENOBUFS)",
            ),
            (
                Error::Timeout {
                    operation: "connecting to tcp://192.0.2.1:80".into(),
                    after: Duration::from_millis(1500),
                },
                "connecting to tcp://192.0.2.1:80 timed out after 1.5s (ETIMEDOUT)",
            ),
            (
                Error::TooManyConnections {
                    peer: peer(),
                    limit: 5,
                    per_client: true,
                },
                "connection from tcp://192.0.2.7:4711 refused: \
                 5 connections are open from that client, which is the limit",
            ),
            (
                Error::Resolve {
                    host: "uptick.invalid".into(),
                    source: io::Error::other("no such host is known").into(),
                },
                "looking up uptick.invalid failed: no such host is known",
            ),
            (
                Error::Filter {
                    operation: "TLS handshake".into(),
                    peer: peer(),
                    source: Arc::new(io::Error::other("it spoke HTTP")),
                },
                "TLS handshake with tcp://192.0.2.7:4711 failed: it spoke HTTP",
            ),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn errors_of_this_crate_have_an_errno_too() {
        let error = Error::Closed {
            object: "the connection".into(),
        };
        assert_eq!(error.errno_name(), Some("ENOTCONN"));
        assert_eq!(error.errno(), Some(Errno::NOTCONN.raw_os_error()));
        assert_eq!(error.io_kind(), io::ErrorKind::NotConnected);

        let error = Error::Panic {
            object: "a server".into(),
            message: "oh no".into(),
        };
        assert_eq!(error.errno(), None);
        assert_eq!(error.errno_name(), None);
        assert_eq!(error.io_kind(), io::ErrorKind::Other);
    }

    #[test]
    fn the_io_error_is_found_in_the_chain_of_sources() {
        let error = Error::connect("tcp://127.0.0.1:1", Errno::CONNREFUSED);
        let cause = error.source().unwrap();
        let io_error = cause.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(io_error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn conversion_to_an_io_error_keeps_kind_and_text() {
        let error = io::Error::from(Error::connect("tcp://127.0.0.1:1", Errno::CONNREFUSED));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            error
                .to_string()
                .starts_with("connecting to tcp://127.0.0.1:1")
        );
    }

    #[test]
    fn a_long_invalid_address_is_shortened_between_characters() {
        let error = Error::invalid_uri(&"ü".repeat(1000), "too long");
        let Error::InvalidUri { uri, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(*uri, *format!("{}… (2000 bytes)", "ü".repeat(128)));
    }

    #[test]
    fn the_error_is_send_and_sync_and_has_at_most_64_bytes() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Error>();
        assert!(size_of::<Error>() <= 64, "{}", size_of::<Error>());
    }
}
