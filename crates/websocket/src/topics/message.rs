//! Encoded messages of a hub, for the exchange between workers.

use std::ops::Range;

use bytes::Bytes;
use simdutf8::basic;

use crate::message::{Message, Payload, Text};
use crate::protocol::frame::{Flags, Head, Opcode};
use crate::protocol::head;

/// A message published on a hub: the WebSocket frame that its subscribers receive.
///
/// It is encoded once. In this worker, the same bytes are written to each subscriber without compression. Other
/// workers receive these bytes unchanged, and each worker compresses them once for its own subscribers. A clone shares the bytes.
///
/// # Examples
/// ```
/// use uptick_websocket::HubMessage;
///
/// let message = HubMessage::new(&"hello");
/// assert_eq!(&message.frame()[..], b"\x81\x05hello");
/// assert_eq!(HubMessage::from_frame(message.frame().clone()), Some(message));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubMessage {
    frame: Bytes,
    opcode: Opcode,
    /// The length of the frame head, in bytes.
    head: u8,
}

impl HubMessage {
    /// Encodes a message.
    pub fn new(payload: &impl Payload) -> Self {
        let slice = payload.as_slice();
        let opcode = match payload.is_text() {
            true => Opcode::Text,
            false => Opcode::Binary,
        };
        let head = Head::new(opcode, Flags::FIN, None, slice.len() as u64);
        // A vector with the exact capacity becomes `Bytes` without a reallocation.
        let mut out = Vec::with_capacity(head.len() + slice.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(slice);
        HubMessage {
            frame: out.into(),
            opcode,
            head: u8::try_from(head.len()).unwrap_or_default(),
        }
    }

    /// Creates a message from a frame of another worker; `None` unless it is one complete, unmasked and uncompressed message, and valid UTF-8 if it
    /// is text.
    pub fn from_frame(frame: Bytes) -> Option<Self> {
        let (opcode, payload) = head::parse_message(&frame)?;
        if opcode == Opcode::Text && basic::from_utf8(&frame[payload.clone()]).is_err() {
            return None;
        }
        Some(HubMessage {
            opcode,
            head: u8::try_from(payload.start).ok()?,
            frame,
        })
    }

    /// Returns the frame: head and payload.
    #[inline]
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// Returns `true` for a text message.
    pub fn is_text(&self) -> bool {
        self.opcode == Opcode::Text
    }

    /// Returns the payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.frame[self.range()]
    }

    /// Returns the message that subscribers receive. It shares the bytes of the frame.
    pub fn to_message(&self) -> Message {
        let payload = self.frame.slice(self.range());
        match self.is_text() {
            // A user-defined `Payload` type may declare invalid UTF-8 as text.
            true => Text::try_from(payload.clone()).map_or(Message::Binary(payload), Message::Text),
            false => Message::Binary(payload),
        }
    }

    pub(crate) fn range(&self) -> Range<usize> {
        usize::from(self.head)..self.frame.len()
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.opcode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_decodes_to_its_message() {
        for length in [0, 1, 125, 126, 65_535, 65_536, 100_000] {
            for message in [
                Message::from("x".repeat(length)),
                Message::from(vec![255; length]),
            ] {
                let sent = HubMessage::new(&message);
                let received = HubMessage::from_frame(sent.frame().clone()).unwrap();
                assert_eq!(received, sent);
                assert_eq!(received.is_text(), message.is_text());
                assert_eq!(received.payload(), message.as_bytes());
                assert_eq!(received.to_message(), message);
            }
        }
    }

    #[test]
    fn incomplete_or_invalid_frames_are_refused() {
        for frame in [
            &b""[..],
            b"\x81",
            b"\x81\x02a",
            b"\x81\x01ab",
            b"\x01\x01a",
            b"\x80\x01a",
            b"\xc1\x01a",
            b"\x89\x01a",
            b"\x88\x00",
            b"\x81\x81\0\0\0\0a",
            b"\x81\x7e\x00\x01a",
            b"\x81\x01\xff",
        ] {
            let refused = HubMessage::from_frame(Bytes::from_static(frame));
            assert_eq!(refused, None, "{frame:?}");
        }
    }
}
