//! Wire formats of the official adapters over Redis. This module does not use Redis.
//!
//! | module | npm package |
//! |---|---|
//! | [`classic`] | `createAdapter` of `@socket.io/redis-adapter`, `@socket.io/redis-emitter` |
//! | [`cluster_message`] | `createShardedAdapter` of `@socket.io/redis-adapter`, and the other adapters based on `ClusterAdapter` |
//!
//! Messages are JSON, or MessagePack if they contain binary data. A message that begins with `{` is JSON. Decoding never panics, and limits the nesting depth.

pub mod classic;
pub mod cluster_message;
mod fields;
mod packet;
mod value;

use crate::protocol::packet::{EncodeError, PacketError};

/// Maximum size of a received message: 64 MiB.
pub const MESSAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Error of encoding or decoding a message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The message is longer than [`MESSAGE_LIMIT`].
    #[error("it has {0} bytes, and the limit is {MESSAGE_LIMIT}")]
    TooLong(usize),
    /// The message is not valid JSON.
    #[error("it is not valid JSON")]
    Json,
    /// The message is nested too deeply.
    #[error("it is nested too deeply")]
    TooDeep,
    /// The message is not valid MessagePack.
    #[error("it is not valid MessagePack: {0}")]
    MessagePack(PacketError),
    /// The message is not an object, or a broadcast is not an array of three elements.
    #[error("it has an unknown structure")]
    Structure,
    /// A key is missing, or its value has the wrong type.
    #[error("the key {0:?} is missing or invalid")]
    Key(&'static str),
    /// The type of the message is unknown.
    #[error("the type {0} is unknown")]
    UnknownType(u64),
    /// The packet is not an event, or its event name is reserved.
    #[error("it contains an invalid event: {0}")]
    Event(String),
    /// The message cannot be expressed in the wire format.
    #[error("the wire format has no such message")]
    Unsupported,
}

impl From<EncodeError> for WireError {
    fn from(error: EncodeError) -> WireError {
        WireError::Event(error.to_string())
    }
}
