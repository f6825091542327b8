//! Wire format of messages between the namespaces of workers. This module does not use the bus.
//!
//! A payload on the bus is an [`Envelope`] that contains a [`BusMessage`] or a part of one:
//!
//! | bytes | |
//! |---|---|
//! | 1 | version of the format: 1 |
//! | 1 | 0: a whole message, 1: a part of a message |
//! | 4 | tag of the sending worker |
//! | 8 | sequence number of the message |
//! | number | bus id of the sending worker |
//! | number, number | only in a part: its position in the message, and the length of the message |
//! | | the message or the part |
//!
//! Numbers of a fixed length are little-endian. Other numbers use seven bits of each byte, lowest bits first, in the shortest form. Strings, lists and bytes are
//! prefixed with their length. Each value has exactly one encoding; any other input is an error.

mod message;
mod value;
mod wire;

use bytes::Bytes;

pub use message::{
    BusMessage, decode, encode_applied, encode_gone, encode_message, encode_response,
};

use wire::{Reader, put_number, put_size};

/// The version of the format.
pub const VERSION: u8 = 1;

/// Maximum nesting depth of values: 128.
pub const DEPTH_LIMIT: usize = 128;

const WHOLE: u8 = 0;
const PART: u8 = 1;

/// Error of encoding or decoding a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The sender uses another version of the format.
    #[error(
        "the message has version {0} of the format, but this worker supports version {VERSION}"
    )]
    Version(u8),
    /// The message ends too early.
    #[error("the message is truncated")]
    Truncated,
    /// There are additional bytes after the message.
    #[error("there are additional bytes after the message")]
    Trailing,
    /// A kind is unknown.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// A number is too large, or not in its shortest form.
    #[error("a number is not valid")]
    Number,
    /// A string is not valid UTF-8.
    #[error("a string is not valid UTF-8")]
    Utf8,
    /// An object has a duplicate key.
    #[error("an object has a duplicate key")]
    Duplicate,
    /// A value is nested too deeply.
    #[error("a value is nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
}

/// A worker that sends messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The bus id of the worker.
    pub id: u64,
    /// The tag of the worker, which is the prefix of the ids of its sockets.
    pub tag: [u8; 4],
}

/// A payload on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sending worker.
    pub sender: Sender,
    /// The sequence number of the message. All copies and all parts of a message have the same number.
    pub sequence: u64,
    /// The position of a part in its message; `None` for a whole message.
    pub part: Option<Part>,
    /// The message or the part.
    pub payload: Bytes,
}

/// The position of a part in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of bytes in the parts before it.
    pub position: usize,
    /// The total number of bytes in the message.
    pub total: usize,
}

impl Envelope {
    /// Decodes an envelope. The payload shares the memory of `bytes`.
    ///
    /// # Errors
    ///
    /// Returns [`CodecError`] if the bytes are not a valid envelope.
    pub fn decode(bytes: Bytes) -> Result<Envelope, CodecError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            VERSION => {}
            version => return Err(CodecError::Version(version)),
        }
        let kind = reader.byte()?;
        let tag = reader.array()?;
        let sequence = u64::from_le_bytes(reader.array()?);
        let id = reader.number()?;
        let part = match kind {
            WHOLE => None,
            PART => Some(Part {
                position: reader.size()?,
                total: reader.size()?,
            }),
            kind => return Err(CodecError::Kind(kind)),
        };
        Ok(Envelope {
            sender: Sender { id, tag },
            sequence,
            part,
            payload: reader.rest(),
        })
    }

    /// Appends the head of an envelope. The caller must append the payload.
    pub fn encode_head(out: &mut Vec<u8>, sender: Sender, sequence: u64, part: Option<Part>) {
        out.push(VERSION);
        out.push(if part.is_some() { PART } else { WHOLE });
        out.extend_from_slice(&sender.tag);
        out.extend_from_slice(&sequence.to_le_bytes());
        put_number(out, sender.id);
        if let Some(part) = part {
            put_size(out, part.position);
            put_size(out, part.total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_survives_encoding_and_decoding() {
        let sender = Sender {
            id: 300,
            tag: *b"a-_9",
        };
        let part = Part {
            position: 0,
            total: 1 << 21,
        };
        for part in [None, Some(part)] {
            let mut out = Vec::new();
            Envelope::encode_head(&mut out, sender, u64::MAX, part);
            out.extend_from_slice(b"payload");
            let envelope = Envelope {
                sender,
                sequence: u64::MAX,
                part,
                payload: Bytes::from_static(b"payload"),
            };
            assert_eq!(Envelope::decode(out.into()), Ok(envelope));
        }
    }

    #[test]
    fn unknown_versions_and_kinds_are_refused() {
        let decode = |bytes: &'static [u8]| Envelope::decode(Bytes::from_static(bytes));
        assert_eq!(decode(&[2]), Err(CodecError::Version(2)));
        assert_eq!(
            decode(&[1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]),
            Err(CodecError::Kind(7))
        );
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0, 0]), Err(CodecError::Truncated));
        assert_eq!(decode(&[]), Err(CodecError::Truncated));
    }
}
