//! What goes wrong with WebSockets.

use crate::protocol::Invalid;

/// What goes wrong with a WebSocket: the payload of `error`, after which `close` comes unless the text says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer has sent what it must not; the connection is closed with the code that says so.
    #[error("the peer has sent what is no WebSocket message: {0}")]
    Protocol(Invalid),
    /// The connection failed.
    #[error(transparent)]
    Connection(uptick_socket::Error),
    /// Nothing came from the peer for as long as the idle timeout says.
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
}
