//! Messages between the workers of a server.
//!
//! A message consists of its kind (1 byte), the tag of its sender (4 bytes), the number of the exchange (8 bytes, little-endian), flags (1 byte) and a
//! body. The *edge* is the worker with the client's connection, and the *owner* is the worker with the session.

use bytes::Bytes;

use crate::engine::session_id::Tag;

/// Length of the header, in bytes.
const HEADER_LENGTH: usize = 14;

/// Maximum size of the body of one message: 512 KiB. A larger body is sent in several messages.
pub(super) const MAX_BODY: usize = 512 * 1024;

/// Flag: the body is text.
pub(super) const TEXT: u8 = 1;
/// Flag: the body ends with this message.
pub(super) const LAST: u8 = 2;

/// Declares the kinds of messages with their numbers.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $number:literal,)*) => {
        /// The kind of a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum MessageKind {
            $($(#[$meta])* $name = $number,)*
        }

        impl MessageKind {
            fn of(number: u8) -> Option<MessageKind> {
                match number {
                    $($number => Some(MessageKind::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// To the owner: a poll for the session in the body.
    Poll = 1,
    /// To the owner: the client of a poll disconnected.
    PollAborted = 2,
    /// To the owner: a POST request for the session in the body.
    Post = 3,
    /// To the owner: a piece of the body of a POST request.
    PostBody = 4,
    /// To the owner: the POST request failed, for the reason in the body.
    PostFailed = 5,
    /// To the owner: a client requests a WebSocket for the session in the body.
    Check = 6,
    /// To the owner: a WebSocket for the session in the body is open.
    Open = 7,
    /// To either worker: a piece of a WebSocket message.
    Frame = 8,
    /// To the owner: the WebSocket was closed or lost.
    Closed = 9,
    /// To the owner: the client violated the WebSocket protocol.
    Failed = 10,
    /// To the owner: the number of bytes of frames that were written to the WebSocket.
    Written = 11,
    /// To the owner: a poll must be answered now.
    PollReleased = 12,
    /// To the edge: a piece of a payload, the response to a poll.
    Payload = 20,
    /// To the edge: the response is `ok`.
    Ok = 21,
    /// To the edge: the response has the status in the body.
    Status = 22,
    /// To the edge: the request is refused with the code in the body.
    Refuse = 23,
    /// To the edge: the connection of the request must be closed.
    Abort = 24,
    /// To the edge: the WebSocket must be closed with the code in the body, or terminated if there is no body.
    Close = 25,
    /// To either worker: the number of bytes of messages that were received since the last report.
    Received = 30,
    /// To either worker: a message was lost, and all exchanges between the two workers have ended.
    Reset = 31,
}

/// A message between the edge and the owner of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkerMessage {
    pub(super) kind: MessageKind,
    pub(super) from: Tag,
    pub(super) number: u64,
    pub(super) flags: u8,
    pub(super) body: Bytes,
}

impl WorkerMessage {
    /// Encodes a message.
    pub(super) fn encode(
        kind: MessageKind,
        from: Tag,
        number: u64,
        flags: u8,
        body: &[u8],
    ) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_LENGTH + body.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&from.0);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.push(flags);
        bytes.extend_from_slice(body);
        Bytes::from(bytes)
    }

    /// Decodes a message; `None` if it is not valid.
    pub(super) fn decode(bytes: &Bytes) -> Option<WorkerMessage> {
        let (kind, rest) = bytes.split_first()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let flags = rest.first()?;
        Some(WorkerMessage {
            kind: MessageKind::of(*kind)?,
            from: Tag(*from),
            number: u64::from_le_bytes(*number),
            flags: *flags,
            body: bytes.slice(HEADER_LENGTH..),
        })
    }

    /// Returns the number in the body.
    pub(super) fn value(&self) -> Option<u64> {
        let (value, _) = self.body.split_first_chunk()?;
        Some(u64::from_le_bytes(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_messages_are_decoded_and_invalid_ones_are_refused() {
        let tag = Tag(*b"ab-_");
        for kind in [MessageKind::Poll, MessageKind::Frame, MessageKind::Reset] {
            let bytes = WorkerMessage::encode(kind, tag, 7, TEXT | LAST, b"body");
            let message = WorkerMessage::decode(&bytes).unwrap();
            let expected = WorkerMessage {
                kind,
                from: tag,
                number: 7,
                flags: 3,
                body: Bytes::from_static(b"body"),
            };
            assert_eq!(message, expected);
            for length in 0..HEADER_LENGTH {
                assert_eq!(WorkerMessage::decode(&bytes.slice(..length)), None);
            }
        }
        assert_eq!(WorkerMessage::decode(&Bytes::from(vec![99; 20])), None);
    }
}
