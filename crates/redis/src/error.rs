//! The error type of the crate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::Excerpt;

use crate::protocol::{ProtocolError, ServerError};

/// An error of a Redis client.
///
/// The text states the operation, the address and the cause. Addresses do not contain passwords. Cloning does not allocate.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A URL is not valid.
    #[error("invalid Redis URL \"{url}\": {reason} (EINVAL)")]
    InvalidUrl {
        /// The URL, without its password.
        url: Arc<str>,
        /// The cause, and the expected form.
        reason: Arc<str>,
    },
    /// The connection could not be established, or failed.
    #[error(transparent)]
    Connection(uptick_socket::Error),
    /// The server has refused a command of the handshake, such as `AUTH`.
    #[error("{command} at {address} failed: {code} {message} (EACCES)")]
    Refused {
        /// The server.
        address: Arc<str>,
        /// The command.
        command: &'static str,
        /// The code of the error reply.
        code: Arc<str>,
        /// The text of the error reply.
        message: Arc<str>,
    },
    /// The server did not respond in time.
    #[error("{operation} at {address} failed: no response within {after:?} (ETIMEDOUT)")]
    Timeout {
        /// The server.
        address: Arc<str>,
        /// The operation.
        operation: &'static str,
        /// The timeout.
        after: Duration,
    },
    /// The connection was lost after the command was sent. The command may have been executed.
    #[error(
        "waiting for the reply of {address} failed: {cause}; the command may have been executed"
    )]
    Disconnected {
        /// The server.
        address: Arc<str>,
        /// The reason why the connection was lost.
        cause: Arc<str>,
    },
    /// The command was not sent, because the client was not connected for the whole command timeout.
    #[error(
        "sending a command to {address} failed: not connected within {after:?}{cause} (ETIMEDOUT)"
    )]
    NotConnected {
        /// The server.
        address: Arc<str>,
        /// The command timeout.
        after: Duration,
        /// The last connection error, with a separator in front; empty if there is none.
        cause: Arc<str>,
    },
    /// The server has closed the connection.
    #[error("reading from {address} failed: the server closed the connection (ECONNRESET)")]
    Ended {
        /// The server.
        address: Arc<str>,
    },
    /// The server sent bytes that are not valid RESP, that exceed a limit, or that do not belong to a command.
    #[error("reading from {address} failed: {reason} (EPROTO)")]
    Protocol {
        /// The server.
        address: Arc<str>,
        /// The cause.
        reason: Arc<str>,
    },
    /// The server has responded to a command with an error.
    #[error("the command failed: {code} {message}")]
    Reply {
        /// The code, such as `WRONGTYPE`.
        code: Arc<str>,
        /// The text after the code.
        message: Arc<str>,
    },
    /// Too many commands or bytes are queued. The command was not sent.
    #[error(
        "queueing a command for {address} failed: {commands} commands and {bytes} bytes are queued (ENOBUFS)"
    )]
    QueueFull {
        /// The server.
        address: Arc<str>,
        /// The number of queued commands.
        commands: usize,
        /// The number of queued bytes.
        bytes: usize,
    },
    /// A limit of connections or subscriptions was reached.
    #[error("{operation} failed: the limit of {limit} is reached (ENOBUFS)")]
    TooMany {
        /// The operation.
        operation: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A reply has another type than the requested one.
    #[error("converting a reply failed: expected {expected}, received {received} (EINVAL)")]
    Conversion {
        /// The requested type.
        expected: &'static str,
        /// The received value.
        received: Arc<str>,
    },
    /// The subscription was ended before the server had confirmed it.
    #[error("subscribing failed: the subscription was ended before it was confirmed (ECANCELED)")]
    Unsubscribed,
    /// The client is closed, or closes.
    #[error("the Redis client is closed (ENOTCONN)")]
    Closed,
}

impl Error {
    pub(crate) fn reply(error: &ServerError) -> Self {
        Error::Reply {
            code: error.code().into(),
            message: error.message().into(),
        }
    }

    pub(crate) fn conversion(expected: &'static str, received: impl AsRef<str>) -> Self {
        Error::Conversion {
            expected,
            received: Excerpt::new(received.as_ref()).to_string().into(),
        }
    }

    pub(crate) fn protocol(address: &Arc<str>, source: ProtocolError) -> Self {
        Error::Protocol {
            address: Arc::clone(address),
            reason: source.to_string().into(),
        }
    }

    /// Returns the code of an error reply, such as `WRONGTYPE`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Reply { code, .. } | Error::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl From<uptick_socket::Error> for Error {
    fn from(error: uptick_socket::Error) -> Self {
        Error::Connection(error)
    }
}

/// Converts the error to an `io::Error` with the same text.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::InvalidUrl { .. } => io::ErrorKind::InvalidInput,
            Error::Refused { .. } => io::ErrorKind::PermissionDenied,
            Error::Timeout { .. } | Error::NotConnected { .. } => io::ErrorKind::TimedOut,
            Error::Disconnected { .. } | Error::Ended { .. } => io::ErrorKind::ConnectionReset,
            Error::Protocol { .. } | Error::Conversion { .. } => io::ErrorKind::InvalidData,
            Error::Closed => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
