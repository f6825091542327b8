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

/// What can go wrong with a server, a connector or a connection.
///
/// The text says what failed, on what and why, with the errno name where there is one:
/// `listening on tcp://127.0.0.1:80 failed: Permission denied (EACCES)`. Cloning allocates nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that cannot be listened on or connected to, whatever the system says.
    #[error("invalid address \"{uri}\": {reason} (EINVAL)")]
    InvalidUri {
        /// The first 256 bytes of the address, with control characters escaped.
        uri: Arc<str>,
        /// What is wrong with it, and what would be right.
        reason: Arc<str>,
    },
    /// The variables that announce inherited sockets (`LISTEN_FDS` and its kin) make no sense.
    #[error("taking over inherited sockets failed: {reason} (EINVAL)")]
    Inherit {
        /// The variable and what is wrong with it.
        reason: Arc<str>,
    },
    /// A server could not start.
    #[error("listening on {uri} failed: {source}")]
    Listen {
        /// The address to listen on.
        uri: Arc<str>,
        /// Why it failed.
        source: Cause,
    },
    /// A server could not take a connection; it goes on listening.
    #[error("accepting a connection on {uri} failed: {source}")]
    Accept {
        /// The server's address.
        uri: Arc<str>,
        /// Why it failed.
        source: Cause,
    },
    /// A connection could not be made.
    #[error("connecting to {uri} failed: {source}")]
    Connect {
        /// The address to connect to.
        uri: Arc<str>,
        /// Why it failed.
        source: Cause,
    },
    /// A layer above the socket, such as TLS, failed while a connection was made.
    #[error("connecting to {uri} failed {when}: {source}")]
    ConnectLayer {
        /// The address to connect to.
        uri: Arc<str>,
        /// When it failed, such as `during the TLS handshake`.
        when: Arc<str>,
        /// The error of the layer.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A host name could not be looked up.
    #[error("looking up {host} failed: {source}")]
    Resolve {
        /// The host name.
        host: Arc<str>,
        /// Why it failed.
        source: Cause,
    },
    /// Reading from a connection failed, and the connection closes.
    #[error("reading from {peer} failed: {source}")]
    Read {
        /// The other end of the connection.
        peer: Address,
        /// Why it failed.
        source: Cause,
    },
    /// Writing to a connection failed, and the connection closes.
    #[error("writing to {peer} failed: {source}")]
    Write {
        /// The other end of the connection.
        peer: Address,
        /// Why it failed.
        source: Cause,
    },
    /// More was written to a connection than its buffer may hold, because the peer reads too
    /// slowly.
    #[error(
        "writing to {peer} failed: the write buffer is at its limit of {limit} bytes (ENOBUFS)"
    )]
    BufferFull {
        /// The other end of the connection.
        peer: Address,
        /// The hard limit of the write buffer in bytes.
        limit: usize,
    },
    /// Something took longer than it may.
    #[error("{what} timed out after {after:?} (ETIMEDOUT)")]
    Timeout {
        /// What was waited for, such as `connecting to tcp://192.0.2.1:80`.
        what: Arc<str>,
        /// How long it was waited for.
        after: Duration,
    },
    /// A connection was refused because its client connects too often.
    #[error("connection from {peer} refused: it connects too often{}",
        .retry_after.map(|time| format!(", and may again in {time:?}")).unwrap_or_default())]
    RateLimited {
        /// The client that was refused.
        peer: Address,
        /// The time until another connection would be let in; `None` when none ever is.
        retry_after: Option<Duration>,
    },
    /// A connection was refused because a server has as many as it may have.
    #[error("connection from {peer} refused: {limit} connections are open{}, which is the limit",
        if *.per_client { " from that client" } else { "" })]
    TooManyConnections {
        /// The client that was refused.
        peer: Address,
        /// The limit that was reached.
        limit: usize,
        /// Whether it is the limit for a single client address, not the one for the server.
        per_client: bool,
    },
    /// A connection did not begin with the PROXY protocol header that it should begin with.
    #[error("connection from {peer} refused: {reason} (EPROTO)")]
    ProxyProtocol {
        /// The proxy, or who claims to be one.
        peer: Address,
        /// What is wrong with the header.
        reason: Arc<str>,
    },
    /// A layer of the connection above the socket, such as TLS, failed.
    #[error("{what} with {peer} failed: {source}")]
    Filter {
        /// What the layer was doing, such as `TLS handshake`.
        what: Arc<str>,
        /// The other end of the connection.
        peer: Address,
        /// The error of the layer.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A callback panicked. The panic was caught, and what the callback belongs to closes.
    #[error("a callback of {what} panicked: {message}")]
    Panic {
        /// The server or connection that the callback belongs to.
        what: Arc<str>,
        /// The panic's message.
        message: Arc<str>,
    },
    /// Too much waits in a [`Remote`](crate::Remote).
    #[error(
        "passing more to {what} failed: {bytes} bytes and {operations} operations wait already (ENOBUFS)"
    )]
    RemoteFull {
        /// The connection or server.
        what: Arc<str>,
        /// The number of bytes that wait.
        bytes: usize,
        /// The number of operations that wait.
        operations: usize,
    },
    /// The server or connection was closed, by either side, before the operation was done.
    #[error("{what} is closed (ENOTCONN)")]
    Closed {
        /// What is closed.
        what: Arc<str>,
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

    /// The error of a connection, from that of the stream below it.
    /// The error of a `connection` callback of a server that has panicked.
    pub(crate) fn callback_panic(server: Option<String>, message: &str) -> Self {
        let uri = server.unwrap_or_default();
        Self::Panic {
            what: format!("the server {uri}").into(),
            message: message.into(),
        }
    }

    pub(crate) fn of_stream(peer: &Address, error: StreamError) -> Self {
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
                what: format!("writing to {peer}").into(),
                after,
            },
            StreamError::Idle { after } => Self::Timeout {
                what: format!("the idle connection with {peer}").into(),
                after,
            },
            StreamError::Filter { what, source } => Self::Filter { what, peer, source },
            StreamError::Panic { message } => Self::Panic {
                what: format!("the connection with {peer}").into(),
                message,
            },
            StreamError::Open { source, .. } | StreamError::Watch { source } => Self::Connect {
                uri: peer.to_string().into(),
                source: source.into(),
            },
            _ => Self::Closed {
                what: format!("the connection with {peer}").into(),
            },
        }
    }

    /// The kind of I/O error that this amounts to.
    pub fn io_kind(&self) -> io::ErrorKind {
        match self.status() {
            Status::System(error) => error.kind(),
            Status::Errno(errno) => io::Error::from(errno).kind(),
            Status::Unknown => io::ErrorKind::Other,
        }
    }

    /// The operating system's error number, or the one that this error amounts to.
    ///
    /// It is `None` for errors that have no such number, like a panic.
    pub fn errno(&self) -> Option<i32> {
        match self.status() {
            Status::System(error) => error.raw_os_error(),
            Status::Errno(errno) => Some(errno.raw_os_error()),
            Status::Unknown => None,
        }
    }

    /// The name of the error number, like `"ECONNREFUSED"`.
    pub fn errno_name(&self) -> Option<&'static str> {
        match self.status() {
            Status::System(error) => errno::name(error),
            Status::Errno(errno) => errno::name(&errno.into()),
            Status::Unknown => None,
        }
    }

    fn status(&self) -> Status<'_> {
        match self {
            Self::Listen { source, .. }
            | Self::Accept { source, .. }
            | Self::Connect { source, .. }
            | Self::Resolve { source, .. }
            | Self::Read { source, .. }
            | Self::Write { source, .. } => Status::System(source.io_error()),
            Self::Filter { source, .. } | Self::ConnectLayer { source, .. } => {
                match io_error_in(&**source) {
                    Some(error) => Status::System(error),
                    None => Status::Unknown,
                }
            }
            Self::InvalidUri { .. } | Self::Inherit { .. } => Status::Errno(Errno::INVAL),
            Self::BufferFull { .. } | Self::RemoteFull { .. } => Status::Errno(Errno::NOBUFS),
            Self::Timeout { .. } => Status::Errno(Errno::TIMEDOUT),
            Self::ProxyProtocol { .. } => Status::Errno(Errno::PROTO),
            Self::Closed { .. } => Status::Errno(Errno::NOTCONN),
            Self::TooManyConnections { .. } | Self::RateLimited { .. } | Self::Panic { .. } => {
                Status::Unknown
            }
        }
    }
}

/// The first I/O error in a chain of errors.
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

/// What the system would call an [`Error`].
enum Status<'a> {
    System(&'a io::Error),
    Errno(Errno),
    Unknown,
}

/// An `io::Error` of the same kind with the whole text, for interfaces that speak `std::io`.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.io_kind(), error)
    }
}

/// Why an operation failed: what the operating system said, or an explanation that is more use
/// than what it would have said.
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
    /// An explanation in words, and the error number that it comes down to.
    pub(crate) fn explained(errno: Errno, explanation: impl Into<Arc<str>>) -> Self {
        Self {
            explanation: Some(explanation.into()),
            error: Arc::new(errno.into()),
        }
    }

    /// The error as `std::io` knows it, without the explanation.
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
    fn every_text_says_what_failed_on_what_and_why() {
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
                 the write buffer is at its limit of 1024 bytes (ENOBUFS)",
            ),
            (
                Error::Timeout {
                    what: "connecting to tcp://192.0.2.1:80".into(),
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
                    what: "TLS handshake".into(),
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
    fn errors_that_are_not_of_the_system_still_have_an_errno() {
        let error = Error::Closed {
            what: "the connection".into(),
        };
        assert_eq!(error.errno_name(), Some("ENOTCONN"));
        assert_eq!(error.errno(), Some(Errno::NOTCONN.raw_os_error()));
        assert_eq!(error.io_kind(), io::ErrorKind::NotConnected);

        let error = Error::Panic {
            what: "a server".into(),
            message: "oh no".into(),
        };
        assert_eq!(error.errno(), None);
        assert_eq!(error.errno_name(), None);
        assert_eq!(error.io_kind(), io::ErrorKind::Other);
    }

    #[test]
    fn the_io_error_is_found_down_the_chain_of_sources() {
        let error = Error::connect("tcp://127.0.0.1:1", Errno::CONNREFUSED);
        let cause = error.source().unwrap();
        let io_error = cause.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(io_error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_io_error_made_of_it_keeps_kind_and_text() {
        let error = io::Error::from(Error::connect("tcp://127.0.0.1:1", Errno::CONNREFUSED));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            error
                .to_string()
                .starts_with("connecting to tcp://127.0.0.1:1")
        );
    }

    #[test]
    fn a_long_bad_address_is_shortened_at_a_character() {
        let error = Error::invalid_uri(&"ü".repeat(1000), "too long");
        let Error::InvalidUri { uri, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(*uri, *format!("{}… (2000 bytes)", "ü".repeat(128)));
    }

    #[test]
    fn it_can_be_sent_to_another_thread_and_stays_small() {
        fn assert_send_sync<T: Send + Sync>() {}
        assert_send_sync::<Error>();
        assert!(size_of::<Error>() <= 64, "{}", size_of::<Error>());
    }
}
