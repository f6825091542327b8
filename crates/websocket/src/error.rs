//! The error type of the crate.

use std::sync::Arc;
use std::time::Duration;

use crate::Refusal;
use crate::protocol::Invalid;
use crate::protocol::handshake::client::HandshakeError;

/// An error of a WebSocket: the payload of `error`, followed by `close` unless the variant says otherwise; or
/// the reason why a client WebSocket could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer violated the protocol; the connection is closed with the matching close code.
    #[error("receiving a WebSocket message failed: {0}")]
    Protocol(Invalid),
    /// The connection failed.
    #[error(transparent)]
    Connection(uptick_socket::Error),
    /// The peer sent nothing within the idle timeout, and acknowledged no sent bytes.
    #[error("the idle timeout of the WebSocket has expired (ETIMEDOUT)")]
    IdleTimeout,
    /// A message was dropped because of a slow peer; the connection stays open.
    #[error(
        "a message of {bytes} bytes was dropped: {buffered} bytes are already queued for a slow peer"
    )]
    SlowClient {
        /// The length of the message.
        bytes: usize,
        /// The number of queued bytes.
        buffered: usize,
    },
    /// The URL is not a valid WebSocket URL.
    #[error("invalid URL {url:?}: {reason} (EINVAL)")]
    InvalidUrl {
        /// The URL, without its query.
        url: Arc<str>,
        /// The reason, with the expected form.
        reason: Arc<str>,
    },
    /// The server responded with a status other than 101.
    #[error("opening a WebSocket at {url} failed: {refusal}")]
    Refused {
        /// The URL, without its query.
        url: Arc<str>,
        /// The response.
        refusal: Arc<Refusal>,
    },
    /// The response is not a valid WebSocket handshake, or the request cannot be sent.
    #[error("opening a WebSocket at {url} failed: {source}")]
    Handshake {
        /// The URL, without its query.
        url: Arc<str>,
        /// The cause.
        source: HandshakeError,
    },
    /// The connection ended before the response.
    #[error(
        "opening a WebSocket at {url} failed: the connection ended before the response (ECONNRESET)"
    )]
    NoResponse {
        /// The URL, without its query.
        url: Arc<str>,
    },
    /// The server did not respond in time.
    #[error(
        "opening a WebSocket at {url} failed: there was no response within {after:?} (ETIMEDOUT)"
    )]
    Timeout {
        /// The URL, without its query.
        url: Arc<str>,
        /// The timeout.
        after: Duration,
    },
    /// Reconnecting has failed.
    #[error("reconnecting failed after {attempts} attempts: {reason}")]
    ReconnectFailed {
        /// The number of consecutive failed attempts.
        attempts: u32,
        /// The reason of the last failure.
        reason: Arc<str>,
    },
}
