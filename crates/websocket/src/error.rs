//! What goes wrong with WebSockets.

use std::sync::Arc;
use std::time::Duration;

use crate::Refusal;
use crate::protocol::Invalid;
use crate::protocol::handshake::client::Failure;

/// What goes wrong with a WebSocket: the payload of `error`, after which `close` comes unless the text says otherwise; and
/// why a client has none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer has sent what it must not; the connection is closed with the code that says so.
    #[error("the peer has sent what is no WebSocket message: {0}")]
    Protocol(Invalid),
    /// The connection failed.
    #[error(transparent)]
    Connection(uptick_socket::Error),
    /// The peer sent nothing for the idle timeout, and acknowledged nothing of what it was sent.
    #[error("the peer was silent for longer than the idle timeout")]
    Silent,
    /// The peer does not read: a message was dropped, and the connection stays open.
    #[error(
        "a message of {bytes} bytes was dropped: {waiting} bytes wait already for a peer that does not read"
    )]
    Slow {
        /// The length of the message.
        bytes: usize,
        /// How many bytes waited.
        waiting: usize,
    },
    /// What was to be connected to is no URL of a WebSocket.
    #[error("invalid URL {url:?}: {reason} (EINVAL)")]
    InvalidUrl {
        /// The URL, without its query.
        url: Arc<str>,
        /// What is wrong with it, and what would be right.
        reason: Arc<str>,
    },
    /// The server answers that it opens no WebSocket.
    #[error("opening a WebSocket at {url} failed: {refusal}")]
    Refused {
        /// The URL, without its query.
        url: Arc<str>,
        /// The answer.
        refusal: Arc<Refusal>,
    },
    /// The server does not answer as one of WebSockets does, or the request for one cannot be written.
    #[error("opening a WebSocket at {url} failed: {source}")]
    Handshake {
        /// The URL, without its query.
        url: Arc<str>,
        /// What is wrong.
        source: Failure,
    },
    /// The connection ended before the server had answered.
    #[error(
        "opening a WebSocket at {url} failed: the connection ended before the answer (ECONNRESET)"
    )]
    Ended {
        /// The URL, without its query.
        url: Arc<str>,
    },
    /// The server did not answer in time.
    #[error("opening a WebSocket at {url} failed: there was no answer after {after:?} (ETIMEDOUT)")]
    Timeout {
        /// The URL, without its query.
        url: Arc<str>,
        /// How long it was waited for.
        after: Duration,
    },
    /// A WebSocket was opened again too often.
    #[error("reconnecting was given up after {attempts} attempts: {why}")]
    GivenUp {
        /// How many attempts in a row have come to nothing.
        attempts: u32,
        /// What the last has come to.
        why: Arc<str>,
    },
}
