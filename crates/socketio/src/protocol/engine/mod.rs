//! Engine.IO packets, protocol version 4.
//!
//! A packet is sent as one frame: text that begins with the digit of its type, or bytes, which are always a message. On a WebSocket, a frame is one message.
//! For HTTP long-polling, several frames form a [payload](Payload), in which bytes are encoded as base64 after the letter `b`.
//!
//! Costs: a decoded frame shares its bytes. Encoding a message copies its text once; bytes are shared.

mod payload;

pub use payload::{Payload, encode_payload};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use uptick_websocket::{Message, Text};

/// The version of the protocol: the value of the query parameter `EIO`.
pub const PROTOCOL: u8 = 4;

/// Base64 as used by the official implementations. Padding is optional when decoding.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An Engine.IO packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The handshake response of the server: JSON with the session id and the heartbeat settings.
    Open(Text),
    /// A close of the session.
    Close,
    /// A heartbeat of the server. With the text `probe`, a probe of a new transport by the client.
    Ping(Text),
    /// The response to a ping, with the same text.
    Pong(Text),
    /// A message of the protocol on top.
    Message(Message),
    /// The completion of an upgrade to another transport.
    Upgrade,
    /// A packet without content. It completes a poll.
    Noop,
}

/// Error of parsing an Engine.IO packet or payload. The server closes the session with the reason `parse error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A text frame is empty.
    #[error("parsing an Engine.IO packet failed: it is empty")]
    Empty,
    /// The first character of a text frame is not the type of a packet.
    #[error("parsing an Engine.IO packet failed: unknown type {:?}", char::from(*.0))]
    UnknownType(u8),
    /// The text after the letter `b` is not valid base64.
    #[error("parsing an Engine.IO packet failed: invalid base64")]
    Base64,
    /// A payload is not valid UTF-8.
    #[error("parsing an Engine.IO payload failed: invalid UTF-8")]
    Utf8,
    /// A payload is larger than the limit.
    #[error("parsing an Engine.IO payload failed: its {size} bytes exceed the limit of {limit}")]
    TooLarge {
        /// The size of the payload in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Packet {
    /// Decodes a frame. A binary frame is a message.
    ///
    /// Text after a packet type without data (close, upgrade, noop) is ignored, as in the official server.
    ///
    /// # Errors
    ///
    /// Returns [`ParseError`] if the text is empty, its type is unknown, or its base64 is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::protocol::engine::{Packet, ParseError};
    /// use uptick_websocket::Message;
    ///
    /// assert_eq!(Packet::decode("4hello".into()), Ok(Packet::Message("hello".into())));
    /// assert_eq!(Packet::decode("bAQI=".into()), Ok(Packet::Message(Message::Binary(vec![1, 2].into()))));
    /// assert_eq!(Packet::decode("7".into()), Err(ParseError::UnknownType(b'7')));
    /// ```
    pub fn decode(frame: Message) -> Result<Packet, ParseError> {
        let text = match frame {
            Message::Text(text) => text,
            Message::Binary(_) => return Ok(Packet::Message(frame)),
        };
        let kind = *text.as_bytes().first().ok_or(ParseError::Empty)?;
        Ok(match kind {
            b'0' => Packet::Open(text.slice(1..)),
            b'1' => Packet::Close,
            b'2' => Packet::Ping(text.slice(1..)),
            b'3' => Packet::Pong(text.slice(1..)),
            b'4' => Packet::Message(Message::Text(text.slice(1..))),
            b'5' => Packet::Upgrade,
            b'6' => Packet::Noop,
            b'b' => {
                let bytes = BASE64
                    .decode(&text.as_bytes()[1..])
                    .map_err(|_| ParseError::Base64)?;
                Packet::Message(Message::Binary(Bytes::from(bytes)))
            }
            other => return Err(ParseError::UnknownType(other)),
        })
    }

    /// Encodes the packet as a frame.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::protocol::engine::Packet;
    ///
    /// assert_eq!(Packet::Message("hello".into()).encode(), "4hello".into());
    /// ```
    pub fn encode(self) -> Message {
        let (digit, text) = match self {
            Packet::Message(Message::Binary(bytes)) => return Message::Binary(bytes),
            Packet::Close => return Message::Text(Text::from("1")),
            Packet::Upgrade => return Message::Text(Text::from("5")),
            Packet::Noop => return Message::Text(Text::from("6")),
            Packet::Ping(text) if text.as_bytes().is_empty() => {
                return Message::Text(Text::from("2"));
            }
            Packet::Open(text) => ('0', text),
            Packet::Ping(text) => ('2', text),
            Packet::Pong(text) => ('3', text),
            Packet::Message(Message::Text(text)) => ('4', text),
        };
        let mut frame = String::with_capacity(1 + text.as_bytes().len());
        frame.push(digit);
        frame.push_str(&text);
        Message::Text(Text::from(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_all_types_survive_encoding_and_decoding() {
        for packet in [
            Packet::Open("{}".into()),
            Packet::Close,
            Packet::Ping(Text::new()),
            Packet::Ping("probe".into()),
            Packet::Pong("probe".into()),
            Packet::Message("".into()),
            Packet::Message("grüezi".into()),
            Packet::Message(Message::Binary(Bytes::from_static(b"\x00\x1e\xff"))),
            Packet::Upgrade,
            Packet::Noop,
        ] {
            assert_eq!(Packet::decode(packet.clone().encode()), Ok(packet));
        }
    }

    #[test]
    fn text_after_a_packet_without_data_is_ignored() {
        assert_eq!(Packet::decode("1abc".into()), Ok(Packet::Close));
        assert_eq!(Packet::decode("5abc".into()), Ok(Packet::Upgrade));
        assert_eq!(Packet::decode("6abc".into()), Ok(Packet::Noop));
    }

    #[test]
    fn malformed_packets_are_errors() {
        assert_eq!(Packet::decode("".into()), Err(ParseError::Empty));
        assert_eq!(
            Packet::decode("abc".into()),
            Err(ParseError::UnknownType(b'a'))
        );
        assert_eq!(
            Packet::decode("ü".into()),
            Err(ParseError::UnknownType(0xc3))
        );
        assert_eq!(Packet::decode("bA".into()), Err(ParseError::Base64));
        assert_eq!(Packet::decode("bA!==".into()), Err(ParseError::Base64));
        assert!(
            ParseError::UnknownType(b'7')
                .to_string()
                .contains("unknown type '7'")
        );
    }

    #[test]
    fn base64_is_accepted_without_padding() {
        let bytes = Message::Binary(Bytes::from_static(&[1]));
        assert_eq!(
            Packet::decode("bAQ==".into()),
            Ok(Packet::Message(bytes.clone()))
        );
        assert_eq!(Packet::decode("bAQ".into()), Ok(Packet::Message(bytes)));
    }
}
