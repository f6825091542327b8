//! Errors of the codec.

use crate::protocol::json::{JsonError, MAX_DEPTH};

/// An error in a received packet. The server closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet is empty.
    #[error("parsing a Socket.IO packet failed: it is empty")]
    Empty,
    /// The type is not a digit from 0 to 6.
    #[error("parsing a Socket.IO packet failed: unknown packet type")]
    UnknownType,
    /// The number of attachments of a binary packet is missing, zero, or no number.
    #[error("parsing a Socket.IO packet failed: illegal number of attachments")]
    IllegalAttachments,
    /// There are more attachments than the limit.
    #[error("parsing a Socket.IO packet failed: more than {limit} attachments")]
    TooManyAttachments {
        /// The limit.
        limit: usize,
    },
    /// The attachments have more bytes than the limit.
    #[error("parsing a Socket.IO packet failed: more than {limit} bytes of attachments")]
    AttachmentsTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The name of the namespace is longer than the limit.
    #[error("parsing a Socket.IO packet failed: a namespace of more than {limit} bytes")]
    NamespaceTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The namespace is no string.
    #[error("parsing a Socket.IO packet failed: illegal namespace")]
    IllegalNamespace,
    /// The id is greater than [`MAX_ID`](super::MAX_ID), or no integer.
    #[error("parsing a Socket.IO packet failed: illegal id")]
    IllegalId,
    /// The data is not valid, or not what the type of the packet demands.
    #[error("parsing a Socket.IO packet failed: invalid payload")]
    InvalidPayload,
    /// The data is nested deeper than the limit.
    #[error("parsing a Socket.IO packet failed: values nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The name of the event is reserved.
    #[error("parsing a Socket.IO packet failed: the event name {0:?} is reserved")]
    ReservedEvent(&'static str),
    /// A placeholder names an attachment that does not exist.
    #[error("parsing a Socket.IO packet failed: illegal placeholder of an attachment")]
    IllegalPlaceholder,
    /// Text was received where an attachment was expected.
    #[error("parsing a Socket.IO packet failed: text instead of an attachment")]
    UnexpectedText,
    /// Bytes were received where no attachment was expected.
    #[error("parsing a Socket.IO packet failed: bytes that are no attachment")]
    UnexpectedBinary,
}

impl PacketError {
    /// The error of a scan of JSON text.
    pub(crate) fn of_json(error: JsonError, depth: usize) -> PacketError {
        match error {
            JsonError::Syntax => PacketError::InvalidPayload,
            JsonError::TooDeep => PacketError::TooDeep {
                limit: depth.min(MAX_DEPTH),
            },
        }
    }
}

/// An error while a packet is encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value cannot be written as JSON.
    #[error("encoding a Socket.IO packet failed: {0}")]
    Json(#[from] serde_json::Error),
    /// The name of the event is reserved.
    #[error("encoding a Socket.IO packet failed: the event name {0:?} is reserved")]
    ReservedEvent(String),
    /// The namespace does not begin with a slash, or has a comma in it.
    #[error("encoding a Socket.IO packet failed: illegal namespace {0:?}")]
    IllegalNamespace(String),
    /// The id is greater than [`MAX_ID`](super::MAX_ID).
    #[error("encoding a Socket.IO packet failed: illegal id {0}")]
    IllegalId(u64),
}
