//! Heads of received frames.

use std::ops::Range;

use super::frame::{MAX_CONTROL, Opcode};
use super::invalid::Invalid;

/// The mask bit, in the second byte.
pub(super) const MASK_BIT: u8 = 0x80;

/// A complete and valid frame head.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    pub(super) compressed: bool,
    pub(super) key: Option<[u8; 4]>,
    /// Length of the payload, in bytes.
    pub(super) length: u64,
    /// Length of the head, in bytes.
    pub(super) size: usize,
}

/// Parses the frame head at the start of `bytes`; returns `None` if more bytes are needed. An error is reported at the first byte
/// that reveals it.
///
/// `mask_bit` is [`MASK_BIT`] if there must be a key, and 0 if there must not be one. `compression` is `true` if messages may
/// be compressed.
pub(super) fn parse(
    bytes: &[u8],
    mask_bit: u8,
    compression: bool,
) -> Result<Option<FrameHead>, Invalid> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let Some(opcode) = Opcode::from_u8(first & 0x0f) else {
        return Err(Invalid::protocol("a frame has a reserved opcode"));
    };
    let fin = first & 0x80 != 0;
    let compressed = first & 0x40 != 0;
    let may_be_compressed = compression && matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & 0x30 != 0 || (compressed && !may_be_compressed) {
        return Err(Invalid::protocol("a frame has a reserved bit set"));
    }
    if opcode.is_control() && !fin {
        return Err(Invalid::protocol("a control frame is fragmented"));
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & MASK_BIT != mask_bit {
        return Err(Invalid::protocol(match mask_bit {
            0 => "a frame from a server is masked",
            _ => "a frame from a client is not masked",
        }));
    }
    let short = second & !MASK_BIT;
    if opcode.is_control() && usize::from(short) > MAX_CONTROL {
        return Err(Invalid::protocol(
            "a control frame is longer than 125 bytes",
        ));
    }
    let (length, size) = match short {
        126 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(&length) => (u16::from_be_bytes(length).into(), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(&length) => (u64::from_be_bytes(length), 10),
            None => return Ok(None),
        },
        _ => (short.into(), 2),
    };
    match size {
        4 if length < 126 => return Err(Invalid::protocol("a length is not in its shortest form")),
        10 if length <= u64::from(u16::MAX) => {
            return Err(Invalid::protocol("a length is not in its shortest form"));
        }
        10 if length > i64::MAX as u64 => {
            return Err(Invalid::protocol("a length has its highest bit set"));
        }
        _ => {}
    }
    let (key, size) = if mask_bit == 0 {
        (None, size)
    } else {
        match bytes.get(size..).and_then(<[u8]>::first_chunk) {
            Some(&key) => (Some(key), size + 4),
            None => return Ok(None),
        }
    };
    Ok(Some(FrameHead {
        opcode,
        fin,
        compressed,
        key,
        length,
        size,
    }))
}

/// Returns the opcode and the range of the payload if `frame` is one complete message of a server: text or binary, not masked, compressed or
/// fragmented, and not followed by other bytes.
pub(crate) fn parse_message(frame: &[u8]) -> Option<(Opcode, Range<usize>)> {
    let head = parse(frame, 0, false).ok()??;
    let is_message = head.fin && matches!(head.opcode, Opcode::Text | Opcode::Binary);
    let length = frame.len().checked_sub(head.size)?;
    (is_message && u64::try_from(length) == Ok(head.length))
        .then_some((head.opcode, head.size..frame.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{Flags, Head};

    fn reason(bytes: &[u8], mask_bit: u8, compression: bool) -> Option<&'static str> {
        parse(bytes, mask_bit, compression)
            .err()
            .map(|invalid| invalid.reason())
    }

    #[test]
    fn each_first_byte_is_accepted_or_refused() {
        for first in 0..=0xff_u8 {
            for compression in [false, true] {
                let (opcode, fin) = (first & 0x0f, first & 0x80 != 0);
                let expected = match opcode {
                    3..=7 | 11.. => false,
                    8..=10 => fin && first & 0x70 == 0,
                    1 | 2 => first & 0x30 == 0 && (compression || first & 0x40 == 0),
                    _ => first & 0x70 == 0,
                };
                let found = parse(&[first], MASK_BIT, compression);
                assert_eq!(found.is_ok(), expected, "{first:x} {compression}");
                assert!(!matches!(found, Ok(Some(_))));
            }
        }
    }

    #[test]
    fn each_length_is_decoded_as_encoded() {
        for length in (0..130).chain([65_535, 65_536, 1 << 32, i64::MAX as u64]) {
            for key in [None, Some([1, 2, 3, 4])] {
                let mask_bit = if key.is_some() { MASK_BIT } else { 0 };
                let head = Head::new(Opcode::Text, Flags::FIN, key, length);
                for end in 0..head.len() {
                    assert!(matches!(parse(&head[..end], mask_bit, false), Ok(None)));
                }
                let received = parse(&head, mask_bit, false).unwrap().unwrap();
                assert_eq!((received.length, received.key), (length, key));
                assert_eq!(received.size, head.len());
                assert!(received.fin && !received.compressed);
                let other = reason(&head[..2], mask_bit ^ MASK_BIT, false).unwrap();
                assert!(other.contains("masked"), "{other}");
            }
        }
    }

    #[test]
    fn lengths_not_in_their_shortest_form_are_refused() {
        for length in [0, 125] {
            let bytes = [0x81, 126, 0, length];
            assert!(reason(&bytes, 0, false).unwrap().contains("shortest"));
        }
        for length in [0, 125, 126, 65_535_u64] {
            let bytes = [&[0x81, 127], &length.to_be_bytes()[..]].concat();
            assert!(reason(&bytes, 0, false).unwrap().contains("shortest"));
        }
        for length in [1 << 63, u64::MAX] {
            let bytes = [&[0x81, 127], &u64::to_be_bytes(length)[..]].concat();
            assert!(reason(&bytes, 0, false).unwrap().contains("highest"));
        }
    }

    #[test]
    fn a_long_control_frame_is_refused_at_its_second_byte() {
        for opcode in [8, 9, 10] {
            for short in [126, 127] {
                let bytes = [0x80 | opcode, MASK_BIT | short];
                assert!(reason(&bytes, MASK_BIT, false).unwrap().contains("125"));
            }
            assert_eq!(
                reason(&[0x80 | opcode, MASK_BIT | 125], MASK_BIT, false),
                None
            );
        }
    }
}
