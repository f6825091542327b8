//! Errors of the decoder and the encoder.

use crate::protocol::json::{JsonError, MAX_DEPTH};

/// Error of parsing a received packet. The server closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet is empty.
    #[error("parsing a Socket.IO packet failed: it is empty")]
    Empty,
    /// The type is not a digit from 0 to 6.
    #[error("parsing a Socket.IO packet failed: unknown packet type")]
    UnknownType,
    /// The number of attachments of a binary packet is missing, zero, or not a number.
    #[error("parsing a Socket.IO packet failed: illegal number of attachments")]
    IllegalAttachments,
    /// There are more attachments than the limit.
    #[error("parsing a Socket.IO packet failed: it has more than {limit} attachments")]
    TooManyAttachments {
        /// The limit.
        limit: usize,
    },
    /// The total size of the attachments exceeds the limit.
    #[error("parsing a Socket.IO packet failed: its attachments have more than {limit} bytes")]
    AttachmentsTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The name of the namespace is longer than the limit.
    #[error("parsing a Socket.IO packet failed: its namespace has more than {limit} bytes")]
    NamespaceTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The namespace is not a string.
    #[error("parsing a Socket.IO packet failed: illegal namespace")]
    IllegalNamespace,
    /// The id is greater than [`MAX_ID`](super::MAX_ID), or not an integer.
    #[error("parsing a Socket.IO packet failed: illegal id")]
    IllegalId,
    /// The data is not valid, or does not fit the type of the packet.
    #[error("parsing a Socket.IO packet failed: invalid payload")]
    InvalidPayload,
    /// The data is nested deeper than the limit.
    #[error("parsing a Socket.IO packet failed: its data is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The name of the event is reserved.
    #[error("parsing a Socket.IO packet failed: the event name {0:?} is reserved")]
    ReservedEvent(&'static str),
    /// A placeholder refers to an attachment that does not exist.
    #[error("parsing a Socket.IO packet failed: illegal attachment placeholder")]
    IllegalPlaceholder,
    /// Text was received where an attachment was expected.
    #[error("parsing a Socket.IO packet failed: received text instead of an attachment")]
    UnexpectedText,
    /// Binary data was received where no attachment was expected.
    #[error("parsing a Socket.IO packet failed: received an unexpected attachment")]
    UnexpectedBinary,
}

impl PacketError {
    /// Converts the error of a scan of JSON text.
    pub(crate) fn of_json(error: JsonError, depth: usize) -> PacketError {
        match error {
            JsonError::Syntax => PacketError::InvalidPayload,
            JsonError::TooDeep => PacketError::TooDeep {
                limit: depth.min(MAX_DEPTH),
            },
        }
    }
}

/// Error of encoding a packet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value cannot be serialized as JSON.
    #[error("encoding a Socket.IO packet failed: {0}")]
    Json(#[from] serde_json::Error),
    /// The name of the event is reserved.
    #[error("encoding a Socket.IO packet failed: the event name {0:?} is reserved")]
    ReservedEvent(String),
    /// The namespace does not begin with a slash, or contains a comma.
    #[error("encoding a Socket.IO packet failed: illegal namespace {0:?}")]
    IllegalNamespace(String),
    /// The id is greater than [`MAX_ID`](super::MAX_ID).
    #[error("encoding a Socket.IO packet failed: illegal id {0}")]
    IllegalId(u64),
}
