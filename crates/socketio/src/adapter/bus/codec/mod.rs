//! The format of messages between the namespaces of workers: bytes in, messages out, without a bus.
//!
//! A payload of the bus is an [`Envelope`], and in it a [`BusMessage`] or a part of one:
//!
//! | bytes | |
//! |---|---|
//! | 1 | the version of the format: 1 |
//! | 1 | 0 with a whole message, 1 with a part of one |
//! | 4 | the tag of the sending worker |
//! | 8 | the number of the message |
//! | number | the id of the sending worker on the bus |
//! | number, number | of a part: its position in the message, and the length of the message |
//! | | the message or the part |
//!
//! Numbers of a fixed length are little-endian; others have seven bits in each byte, the lowest first, in the shortest form. Strings, lists and bytes follow their
//! length. Whatever is decoded is encoded again as it was; anything else is an error.

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

/// The maximum depth of values: 128.
pub const DEPTH_LIMIT: usize = 128;

const WHOLE: u8 = 0;
const PART: u8 = 1;

/// A message that cannot be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The sender has another version of the format.
    #[error("the message has version {0} of the format, and this worker version {VERSION}")]
    Version(u8),
    /// The message ends too early.
    #[error("the message ends too early")]
    Truncated,
    /// Bytes follow the message.
    #[error("bytes follow the message")]
    Trailing,
    /// A kind is not known.
    #[error("the kind {0} is unknown")]
    Kind(u8),
    /// A number is too large, or not in its shortest form.
    #[error("a number is malformed")]
    Number,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
    /// An object has a key twice.
    #[error("an object has a key twice")]
    Duplicate,
    /// A value is nested too deep.
    #[error("a value is nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep,
}

/// A worker that sends messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The id of the worker on the bus.
    pub id: u64,
    /// The characters with which the ids of its sockets begin.
    pub tag: [u8; 4],
}

/// A payload of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The worker that has sent it.
    pub sender: Sender,
    /// The number of the message. All copies and all parts of a message have the same.
    pub sequence: u64,
    /// The place of a part in its message; `None` with a whole message.
    pub part: Option<Part>,
    /// The message, or the part.
    pub payload: Bytes,
}

/// The place of a part in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of bytes in parts before it.
    pub position: usize,
    /// The number of bytes of the message.
    pub total: usize,
}

impl Envelope {
    /// Decodes an envelope. The payload shares the memory of the bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the bytes do not have this form.
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

    /// Appends an envelope without its payload, which has to follow.
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
    fn an_envelope_is_decoded_as_it_was_encoded() {
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
    fn other_versions_and_kinds_are_refused() {
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
