//! Errors, refusals and disconnect reasons.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::protocol::Value;
use crate::protocol::session::CloseReason;

/// The reason why a socket was disconnected: the payload of `disconnect` and `disconnecting`.
///
/// It is serialized as the [name](DisconnectReason::name) that the official server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left the namespace.
    #[serde(rename = "client namespace disconnect")]
    ClientNamespaceDisconnect,
    /// The server disconnected the socket.
    #[serde(rename = "server namespace disconnect")]
    ServerNamespaceDisconnect,
    /// The server is closing.
    #[serde(rename = "server shutting down")]
    ServerShuttingDown,
    /// The client closed the connection, or the connection was lost.
    #[serde(rename = "transport close")]
    TransportClose,
    /// The client violated the rules of the transport, or the connection failed.
    #[serde(rename = "transport error")]
    TransportError,
    /// The client sent an invalid Engine.IO packet.
    #[serde(rename = "parse error")]
    ParseError,
    /// The client did not answer a ping in time.
    #[serde(rename = "ping timeout")]
    PingTimeout,
    /// The server closed the connection: by [`Client::close`](crate::engine::Client::close), or because of an invalid packet.
    #[serde(rename = "forced close")]
    ForcedClose,
}

impl DisconnectReason {
    /// Returns the name that the official server uses for the reason.
    pub fn name(self) -> &'static str {
        match self {
            DisconnectReason::ClientNamespaceDisconnect => "client namespace disconnect",
            DisconnectReason::ServerNamespaceDisconnect => "server namespace disconnect",
            DisconnectReason::ServerShuttingDown => "server shutting down",
            DisconnectReason::TransportClose => CloseReason::TransportClose.name(),
            DisconnectReason::TransportError => CloseReason::TransportError.name(),
            DisconnectReason::ParseError => CloseReason::ParseError.name(),
            DisconnectReason::PingTimeout => CloseReason::PingTimeout.name(),
            DisconnectReason::ForcedClose => CloseReason::ForcedClose.name(),
        }
    }

    /// Returns `true` if a client that reconnects can recover its state ([`SocketIoOptions::recovery`](crate::SocketIoOptions::recovery)).
    pub(crate) fn is_recoverable(self) -> bool {
        !matches!(
            self,
            DisconnectReason::ClientNamespaceDisconnect
                | DisconnectReason::ServerNamespaceDisconnect
        )
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> DisconnectReason {
        match reason {
            CloseReason::TransportClose => DisconnectReason::TransportClose,
            CloseReason::TransportError => DisconnectReason::TransportError,
            CloseReason::ParseError => DisconnectReason::ParseError,
            CloseReason::PingTimeout => DisconnectReason::PingTimeout,
            CloseReason::ForcedClose => DisconnectReason::ForcedClose,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error with which middleware refuses a client or a packet.
///
/// A refused client receives a `connect_error` with the message and the data.
///
/// # Examples
///
/// ```
/// use uptick_socketio::Refusal;
///
/// let refusal = Refusal::new("not authorized").with_data(&serde_json::json!({ "code": 401 }));
/// assert_eq!(refusal.message(), "not authorized");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl Refusal {
    /// Creates a refusal with a message.
    pub fn new(message: impl Into<String>) -> Refusal {
        Refusal {
            message: message.into(),
            data: None,
        }
    }

    /// Sets additional data for the client. A value that cannot be serialized is sent as `null`. Default: none.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Refusal {
        self.data = Some(Value::of(data).unwrap_or_default());
        self
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the additional data.
    pub fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<&str> for Refusal {
    fn from(message: &str) -> Refusal {
        Refusal::new(message)
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Refusal {
        Refusal::new(message)
    }
}

/// Error of an acknowledgement that was not received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AckError {
    /// The client did not acknowledge in time.
    #[error("waiting for an acknowledgement failed: the operation has timed out")]
    Timeout,
    /// The socket was disconnected before the client acknowledged.
    #[error("waiting for an acknowledgement failed: the socket is disconnected")]
    Disconnected,
    /// The packet was not sent: it is volatile and the client is slow, or it could not be encoded.
    #[error("waiting for an acknowledgement failed: the packet was not sent")]
    NotSent,
    /// Too many acknowledgements of this client are pending.
    #[error(
        "waiting for an acknowledgement failed: {limit} acknowledgements are pending for this client already"
    )]
    TooMany {
        /// The maximum number of pending acknowledgements.
        limit: usize,
    },
    /// The arguments of the acknowledgement do not fit the type.
    #[error("parsing an acknowledgement failed: {0}")]
    Arguments(String),
}

/// Error of a broadcast that not all sockets acknowledged in time, or of a request that not all servers answered in time.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("waiting for the responses to a broadcast or request failed: it timed out after {} of them", .received.len())]
pub struct Incomplete<T> {
    /// The responses that were received.
    pub received: Vec<T>,
}
