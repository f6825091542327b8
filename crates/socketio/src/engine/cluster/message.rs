//! Messages between the workers of a server.
//!
//! A message is its kind in one byte, the tag of its sender in 4, the number of the exchange in 8 (little-endian), flags in one, and a
//! body. The *edge* is the worker that has the client's connection, the *owner* the one that has the session.

use bytes::Bytes;

use crate::engine::session_id::Tag;

/// The number of bytes before the body.
const HEAD: usize = 14;

/// The largest body of a message: 512 KiB. More of it follows in further messages.
pub(super) const PIECE: usize = 512 * 1024;

/// The body is text.
pub(super) const TEXT: u8 = 1;
/// The body ends with this message.
pub(super) const LAST: u8 = 2;

/// Declares the kinds, each with its number.
macro_rules! kinds {
    ($($(#[$meta:meta])* $name:ident = $number:literal,)*) => {
        /// The kind of a message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($(#[$meta])* $name = $number,)*
        }

        impl Kind {
            fn of(number: u8) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// To the owner: a poll of the session in the body.
    Poll = 1,
    /// To the owner: the client of a poll has gone.
    PollAborted = 2,
    /// To the owner: a POST request for the session in the body.
    Post = 3,
    /// To the owner: a piece of its body.
    PostBody = 4,
    /// To the owner: the POST request has failed, for the reason in the body.
    PostFailed = 5,
    /// To the owner: a client asks for a WebSocket for the session in the body.
    Check = 6,
    /// To the owner: a WebSocket for the session in the body is open.
    Open = 7,
    /// In both directions: a piece of a message of the WebSocket.
    Frame = 8,
    /// To the owner: the WebSocket was closed or is lost.
    Closed = 9,
    /// To the owner: the client has violated the protocol of WebSockets.
    Failed = 10,
    /// To the owner: so many bytes of frames were written to the WebSocket.
    Written = 11,
    /// To the owner: a poll has to be answered now.
    PollReleased = 12,
    /// To the edge: a piece of a payload, the response to a poll.
    Payload = 20,
    /// To the edge: the response is `ok`.
    Ok = 21,
    /// To the edge: the response has the status in the body.
    Status = 22,
    /// To the edge: the request is refused with the code in the body.
    Refuse = 23,
    /// To the edge: the connection of the request is closed.
    Abort = 24,
    /// To the edge: the WebSocket is closed with the code in the body; without a body it is cut.
    Close = 25,
    /// In both directions: so many bytes of messages were received, since the last time.
    Received = 30,
    /// In both directions: a message was lost, so that all exchanges between the two workers are over.
    Reset = 31,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClusterMessage {
    pub(super) kind: Kind,
    pub(super) from: Tag,
    pub(super) number: u64,
    pub(super) flags: u8,
    pub(super) body: Bytes,
}

impl ClusterMessage {
    /// Encodes a message.
    pub(super) fn encode(kind: Kind, from: Tag, number: u64, flags: u8, body: &[u8]) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.push(kind as u8);
        bytes.extend_from_slice(&from.0);
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.push(flags);
        bytes.extend_from_slice(body);
        Bytes::from(bytes)
    }

    /// Decodes a message; `None` if it is none.
    pub(super) fn decode(bytes: &Bytes) -> Option<ClusterMessage> {
        let (kind, rest) = bytes.split_first()?;
        let (from, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let flags = rest.first()?;
        Some(ClusterMessage {
            kind: Kind::of(*kind)?,
            from: Tag(*from),
            number: u64::from_le_bytes(*number),
            flags: *flags,
            body: bytes.slice(HEAD..),
        })
    }

    /// Returns a number in the body.
    pub(super) fn value(&self) -> Option<u64> {
        let (value, _) = self.body.split_first_chunk()?;
        Some(u64::from_le_bytes(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_round_trip_and_others_are_none() {
        let tag = Tag(*b"ab-_");
        for kind in [Kind::Poll, Kind::Frame, Kind::Reset] {
            let bytes = ClusterMessage::encode(kind, tag, 7, TEXT | LAST, b"body");
            let message = ClusterMessage::decode(&bytes).unwrap();
            let expected = ClusterMessage {
                kind,
                from: tag,
                number: 7,
                flags: 3,
                body: Bytes::from_static(b"body"),
            };
            assert_eq!(message, expected);
            for length in 0..HEAD {
                assert_eq!(ClusterMessage::decode(&bytes.slice(..length)), None);
            }
        }
        assert_eq!(ClusterMessage::decode(&Bytes::from(vec![99; 20])), None);
    }
}
