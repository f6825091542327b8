//! Comparison of 16 bytes at a time with sets of characters.

#[cfg(feature = "simd")]
use wide::{CmpEq as _, CmpGt as _, i8x16};

#[cfg(not(feature = "simd"))]
use super::lanes::i8x16;

/// Size of a block, in bytes.
pub(crate) const WIDTH: usize = 16;

/// A block of 16 bytes. The methods that test bytes return a bit mask, with the first byte in the lowest bit.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    bytes: &'a [u8; WIDTH],
    lanes: i8x16,
}

impl<'a> Block<'a> {
    /// Returns the block that starts at `at`, or `None` if fewer than 16 bytes follow.
    #[inline(always)]
    pub(crate) fn at(bytes: &'a [u8], at: usize) -> Option<Block<'a>> {
        bytes.get(at..)?.first_chunk().map(Block::of)
    }

    /// Splits off the first block, or returns `None` if there are fewer than 16 bytes.
    #[inline(always)]
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Block<'a>, &'a [u8])> {
        let (bytes, rest) = bytes.split_first_chunk()?;
        Some((Block::of(bytes), rest))
    }

    /// Returns the block with these bytes.
    #[inline(always)]
    pub(crate) fn of(bytes: &'a [u8; WIDTH]) -> Block<'a> {
        Block {
            bytes,
            lanes: i8x16::new(bytes.map(u8::cast_signed)),
        }
    }

    /// Returns the byte at `place`, modulo the size of the block.
    #[inline(always)]
    pub(crate) fn byte(self, place: usize) -> u8 {
        self.bytes[place % WIDTH]
    }

    /// Returns the mask of control characters.
    #[inline(always)]
    pub(crate) fn controls(self) -> u32 {
        bits(!self.is_beyond(0, 0x1f) | self.is(0x7f))
    }

    /// Returns the mask of all bytes other than visible ASCII characters.
    #[inline(always)]
    pub(crate) fn invisible(self) -> u32 {
        bits(self.is_beyond(0x21, 0x7e))
    }

    /// Returns the mask of all bytes other than visible ASCII characters, and of `?` and `#`.
    #[inline(always)]
    pub(crate) fn non_path(self) -> u32 {
        bits(self.is_beyond(0x21, 0x7e) | self.is(b'?') | self.is(b'#'))
    }

    /// Returns the mask of all bytes other than letters and hyphens.
    #[inline(always)]
    pub(crate) fn non_plain_name(self) -> u32 {
        bits(self.is_not_letter() & !self.is(b'-'))
    }

    /// Returns the mask of all bytes other than lower-case letters and hyphens.
    #[inline(always)]
    pub(crate) fn non_plain_lower_name(self) -> u32 {
        bits(self.is_beyond(b'a', b'z') & !self.is(b'-'))
    }

    /// Returns the mask of all bytes other than digits.
    #[inline(always)]
    pub(crate) fn non_digits(self) -> u32 {
        bits(self.is_beyond(b'0', b'9'))
    }

    /// Returns the mask of all bytes other than letters, digits, hyphens and dots.
    #[inline(always)]
    pub(crate) fn non_plain_host(self) -> u32 {
        bits(self.is_not_letter() & self.is_beyond(b'0', b'9') & self.is_beyond(b'-', b'.'))
    }

    /// Returns the mask of line feeds.
    #[inline(always)]
    pub(crate) fn line_feeds(self) -> u32 {
        bits(self.is(b'\n'))
    }

    #[inline(always)]
    fn is(self, byte: u8) -> i8x16 {
        self.lanes.cmp_eq(all(byte))
    }

    #[inline(always)]
    fn is_not_letter(self) -> i8x16 {
        is_beyond(self.lanes | all(0x20), b'a', b'z')
    }

    #[inline(always)]
    fn is_beyond(self, first: u8, last: u8) -> i8x16 {
        is_beyond(self.lanes, first, last)
    }
}

/// Returns the bytes outside a range. The shift by `first` makes the signed comparison work for unsigned values.
#[inline(always)]
fn is_beyond(lanes: i8x16, first: u8, last: u8) -> i8x16 {
    let shift = 0x80_u8.wrapping_sub(first);
    (lanes + all(shift)).cmp_gt(all(last.wrapping_add(shift)))
}

#[inline(always)]
fn all(byte: u8) -> i8x16 {
    i8x16::new([byte.cast_signed(); WIDTH])
}

#[inline(always)]
fn bits(mask: i8x16) -> u32 {
    mask.move_mask().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares the mask returned by a method with the expected bit of each byte, at every position and next to several other bytes.
    fn assert_bits(method: impl Fn(Block<'_>) -> u32, expected: impl Fn(u8) -> bool) {
        for byte in 0..=u8::MAX {
            for place in 0..WIDTH {
                for other in [b'a', b' ', 0, 0xff, byte] {
                    let mut bytes = [other; WIDTH + 1];
                    bytes[place] = byte;
                    let bits = method(Block::at(&bytes, 0).unwrap());
                    for (at, &byte) in bytes[..WIDTH].iter().enumerate() {
                        assert_eq!(bits >> at & 1 == 1, expected(byte), "{bytes:?} {at}");
                    }
                    assert_eq!(bits >> WIDTH, 0);
                }
            }
        }
    }

    #[test]
    fn a_mask_has_a_bit_for_each_byte_in_the_set() {
        assert_bits(|block| block.controls(), |byte| byte.is_ascii_control());
        assert_bits(|block| block.invisible(), |byte| !byte.is_ascii_graphic());
        assert_bits(
            |block| block.non_path(),
            |byte| !byte.is_ascii_graphic() || byte == b'?' || byte == b'#',
        );
        assert_bits(
            |block| block.non_plain_name(),
            |byte| !byte.is_ascii_alphabetic() && byte != b'-',
        );
        assert_bits(
            |block| block.non_plain_lower_name(),
            |byte| !byte.is_ascii_lowercase() && byte != b'-',
        );
        assert_bits(
            |block| block.non_plain_host(),
            |byte| !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'.',
        );
        assert_bits(|block| block.non_digits(), |byte| !byte.is_ascii_digit());
        assert_bits(|block| block.line_feeds(), |byte| byte == b'\n');
    }

    #[test]
    fn a_block_needs_sixteen_bytes() {
        assert!(Block::at(&[b'a'; 20], 4).is_some());
        assert!(Block::at(&[b'a'; 20], 5).is_none() && Block::at(&[b'a'; 20], 21).is_none());
    }
}
