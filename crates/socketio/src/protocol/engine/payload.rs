//! HTTP long-polling payloads: frames joined by the record separator.
//!
//! A payload is decoded one packet at a time, without a list of packets, so the required memory is bounded by its size.

use base64::Engine as _;
use bytes::Bytes;
use memchr::memchr;
use uptick_websocket::{Message, Text};

use super::{BASE64, Packet, ParseError};

/// Separator between frames in a payload.
const SEPARATOR: u8 = 0x1e;

/// A received payload: an iterator over its packets.
///
/// Iteration ends after the first error.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::engine::{Packet, Payload};
///
/// let payload = Payload::new("4a\u{1e}3".into(), 1_000_000)?;
/// let packets: Result<Vec<_>, _> = payload.collect();
/// assert_eq!(packets?, [Packet::Message("a".into()), Packet::Pong("".into())]);
/// # Ok::<(), uptick_socketio::protocol::engine::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Payload {
    /// The remaining frames; `None` after the last one.
    rest: Option<Text>,
}

impl Payload {
    /// Checks the size and the encoding of a payload.
    ///
    /// # Errors
    ///
    /// Returns [`ParseError::TooLarge`] if `body` has more than `limit` bytes, or [`ParseError::Utf8`] if it is not valid UTF-8.
    pub fn new(body: Bytes, limit: usize) -> Result<Payload, ParseError> {
        if body.len() > limit {
            return Err(ParseError::TooLarge {
                size: body.len(),
                limit,
            });
        }
        let text = Text::try_from(body).map_err(|_| ParseError::Utf8)?;
        Ok(Payload { rest: Some(text) })
    }
}

impl Iterator for Payload {
    type Item = Result<Packet, ParseError>;

    fn next(&mut self) -> Option<Result<Packet, ParseError>> {
        let rest = self.rest.take()?;
        let frame = match memchr(SEPARATOR, rest.as_bytes()) {
            Some(end) => {
                self.rest = Some(rest.slice(end + 1..));
                rest.slice(..end)
            }
            None => rest,
        };
        let packet = Packet::decode(Message::Text(frame));
        if packet.is_err() {
            self.rest = None;
        }
        Some(packet)
    }
}

/// Joins frames into the body of a poll response. Binary frames are encoded as base64.
///
/// A single text frame is not copied.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::engine::encode_payload;
/// use uptick_websocket::Message;
///
/// let frames = ["4a".into(), Message::Binary(vec![1, 2, 3].into())];
/// assert_eq!(encode_payload(&frames), "4a\u{1e}bAQID");
/// ```
pub fn encode_payload<'a, I>(frames: I) -> Bytes
where
    I: IntoIterator<Item = &'a Message>,
    I::IntoIter: Clone,
{
    let frames = frames.into_iter();
    let mut size = 0;
    let mut count = 0;
    for frame in frames.clone() {
        count += 1;
        size += 1 + match frame {
            Message::Text(text) => text.as_bytes().len(),
            Message::Binary(bytes) => 1 + bytes.len().div_ceil(3) * 4,
        };
    }
    if count == 1
        && let Some(Message::Text(text)) = frames.clone().next()
    {
        return text.clone().into_bytes();
    }
    let mut payload = Vec::with_capacity(size);
    for frame in frames {
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        match frame {
            Message::Text(text) => payload.extend_from_slice(text.as_bytes()),
            Message::Binary(bytes) => {
                payload.push(b'b');
                let start = payload.len();
                payload.resize(start + bytes.len().div_ceil(3) * 4, 0);
                // The reserved space is exact, so encoding cannot fail.
                let written = BASE64
                    .encode_slice(bytes, &mut payload[start..])
                    .unwrap_or(0);
                payload.truncate(start + written);
            }
        }
    }
    Bytes::from(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &'static str) -> Vec<Result<Packet, ParseError>> {
        Payload::new(body.into(), 100).unwrap().collect()
    }

    #[test]
    fn a_payload_ends_after_the_first_error() {
        assert_eq!(
            decode("4a\u{1e}x\u{1e}4b"),
            [
                Ok(Packet::Message("a".into())),
                Err(ParseError::UnknownType(b'x'))
            ]
        );
    }

    #[test]
    fn empty_frames_are_errors() {
        assert_eq!(decode(""), [Err(ParseError::Empty)]);
        assert_eq!(decode("\u{1e}4a"), [Err(ParseError::Empty)]);
        assert_eq!(
            decode("6\u{1e}"),
            [Ok(Packet::Noop), Err(ParseError::Empty)]
        );
    }

    #[test]
    fn the_limit_is_exact() {
        assert!(Payload::new("4abc".into(), 4).is_ok());
        let error = Payload::new("4abcd".into(), 4).unwrap_err();
        assert_eq!(error, ParseError::TooLarge { size: 5, limit: 4 });
    }

    #[test]
    fn a_payload_that_is_not_utf8_is_refused() {
        let error = Payload::new(Bytes::from_static(b"4\xff"), 100).unwrap_err();
        assert_eq!(error, ParseError::Utf8);
    }

    #[test]
    fn frames_of_all_kinds_survive_encoding_and_decoding() {
        let frames = [
            Packet::Message("ü".into()).encode(),
            Message::Binary(Bytes::new()),
            Message::Binary(Bytes::from_static(&[0x1e; 5])),
            Packet::Noop.encode(),
        ];
        let body = encode_payload(&frames);
        let packets: Vec<_> = Payload::new(body, 100)
            .unwrap()
            .map(|packet| packet.unwrap().encode())
            .collect();
        assert_eq!(packets, frames);
    }

    #[test]
    fn a_single_text_frame_is_not_copied() {
        let frame = Packet::Message("hello".into()).encode();
        assert_eq!(encode_payload([&frame]).as_ptr(), frame.as_bytes().as_ptr());
    }
}
