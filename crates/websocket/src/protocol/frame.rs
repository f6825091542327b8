//! Frames (RFC 6455, section 5.2).

use std::ops::Deref;

use super::mask;

/// Maximum length of the payload of a control frame, in bytes (RFC 6455, section 5.5).
pub const MAX_CONTROL: usize = 125;

/// Maximum length of a head, in bytes.
const MAX_HEAD: usize = 14;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0,
    /// The first or only fragment of a text message.
    Text = 1,
    /// The first or only fragment of a binary message.
    Binary = 2,
    /// A close frame.
    Close = 8,
    /// A ping.
    Ping = 9,
    /// A response to a ping, or an unsolicited heartbeat.
    Pong = 10,
}

impl Opcode {
    /// Returns the opcode for a number, or `None` if it is reserved.
    pub const fn from_u8(number: u8) -> Option<Opcode> {
        Some(match number {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Returns `true` for a control frame, which may be sent between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

bitflags::bitflags! {
    /// The bits of a head besides the opcode. Combine them with `|`; an empty set means a fragment with more to follow.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Flags: u8 {
        /// The last or only fragment of a message.
        const FIN = 0x80;
        /// The first reserved bit: a compressed message starts (RFC 7692, section 6).
        const RSV1 = 0x40;
    }
}

/// The head of a frame, 2 to 14 bytes.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::frame::{Flags, Head, Opcode};
///
/// let head = Head::new(Opcode::Binary, Flags::FIN, None, 300);
/// assert_eq!(&head[..], [0x82, 126, 1, 44]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; MAX_HEAD],
    length: u8,
}

impl Head {
    /// Creates the head of a frame with a payload of `length` bytes, in its shortest form. If there is a key, the payload has to be masked
    /// with it.
    ///
    /// # Limits
    ///
    /// The maximum length is 2^63 - 1; larger values are clamped.
    pub fn new(opcode: Opcode, flags: Flags, mask: Option<[u8; 4]>, length: u64) -> Head {
        let mut bytes = [0; MAX_HEAD];
        bytes[0] = flags.bits() | opcode as u8;
        let mut end = match length {
            0..126 => {
                bytes[1] = length as u8;
                2
            }
            126..0x1_0000 => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&length.min(i64::MAX as u64).to_be_bytes());
                10
            }
        };
        if let Some(key) = mask {
            bytes[1] |= 0x80;
            bytes[end..end + 4].copy_from_slice(&key);
            end += 4;
        }
        Head {
            bytes,
            length: end as u8,
        }
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Appends a frame. The payload is copied, and masked if there is a key, which clients need.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::frame::{self, Flags, Opcode};
///
/// let mut out = Vec::new();
/// frame::append(&mut out, Opcode::Text, Flags::FIN, None, b"Hello");
/// assert_eq!(out, b"\x81\x05Hello");
/// ```
#[inline]
pub fn append(
    out: &mut Vec<u8>,
    opcode: Opcode,
    flags: Flags,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) {
    out.reserve(MAX_HEAD + payload.len());
    let Some(key) = mask else {
        if payload.len() < 126 {
            out.extend_from_slice(&[flags.bits() | opcode as u8, payload.len() as u8]);
        } else {
            append_head(out, opcode, flags, mask, payload.len() as u64);
        }
        return out.extend_from_slice(payload);
    };
    append_head(out, opcode, flags, mask, payload.len() as u64);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(&mut out[start..], key, 0);
}

/// Appends the head of a frame whose payload of `length` bytes is sent separately.
pub fn append_head(
    out: &mut Vec<u8>,
    opcode: Opcode,
    flags: Flags,
    mask: Option<[u8; 4]>,
    length: u64,
) {
    out.extend_from_slice(&Head::new(opcode, flags, mask, length));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_encoded_in_its_shortest_form() {
        for (length, bytes) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (u64::MAX, 10),
        ] {
            let head = Head::new(Opcode::Text, Flags::empty(), None, length);
            assert_eq!(head.len(), bytes, "{length}");
            let head = Head::new(Opcode::Text, Flags::empty(), Some([1; 4]), length);
            assert_eq!(head.len(), bytes + 4, "{length}");
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_encoded() {
        let mut out = Vec::new();
        let key = [0x37, 0xfa, 0x21, 0x3d];
        append(&mut out, Opcode::Text, Flags::FIN, Some(key), b"Hello");
        assert_eq!(
            out,
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
        out.clear();
        append(&mut out, Opcode::Text, Flags::empty(), None, b"Hel");
        append(&mut out, Opcode::Continuation, Flags::FIN, None, b"lo");
        assert_eq!(out, b"\x01\x03Hel\x80\x02lo");
        out.clear();
        append(&mut out, Opcode::Binary, Flags::FIN, None, &[7; 65_536]);
        assert_eq!(out[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(out.len(), 65_546);
    }

    #[test]
    fn numbers_are_opcodes_or_reserved() {
        let known: Vec<u8> = (0..=255)
            .filter(|&n| Opcode::from_u8(n).is_some())
            .collect();
        assert_eq!(known, [0, 1, 2, 8, 9, 10]);
        assert!(
            known
                .iter()
                .all(|&n| Opcode::from_u8(n).unwrap() as u8 == n)
        );
        assert!(Opcode::Close.is_control() && !Opcode::Binary.is_control());
    }
}
