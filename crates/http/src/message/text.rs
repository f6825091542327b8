//! Character sets, and the length of text that consists of their characters.

use super::block::Block;

/// A set of characters.
pub(crate) type Set = [bool; 256];

/// Returns the position of the first character at or after `at` that is not in a set, or of the end.
#[inline(always)]
pub(crate) fn end_of(set: &Set, bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().position(|&byte| !set[usize::from(byte)]);
    at + length.unwrap_or(rest.len())
}

/// Same as [`end_of`], but searches by blocks, for text that is often long. `stops` returns the mask of the bytes that are not in the set.
/// The mask may have further bytes; then the caller continues with [`end_of`].
#[inline(always)]
pub(crate) fn end_of_long<'a>(
    set: &Set,
    stops: impl Fn(Block<'a>) -> u32,
    bytes: &'a [u8],
    at: usize,
) -> usize {
    let mut left = bytes.get(at..).unwrap_or_default();
    while let Some((block, rest)) = Block::split(left) {
        let stops = stops(block);
        if stops != 0 {
            return bytes.len() - left.len() + stops.trailing_zeros() as usize;
        }
        left = rest;
    }
    bytes.len() - left.len() + end_of(set, left, 0)
}

/// Returns the position of the first character at or after `at` that is not allowed in a line, or of the end.
#[inline(always)]
pub(crate) fn end_of_text(bytes: &[u8], at: usize) -> usize {
    let end = end_of_long(&TEXT, Block::controls, bytes, at);
    match bytes.get(end) {
        Some(b'\t') => end_of_text_with_tabs(bytes, end),
        _ => end,
    }
}

#[cold]
fn end_of_text_with_tabs(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b'\t') {
        at = end_of_long(&TEXT, Block::controls, bytes, at + 1);
    }
    at
}

/// Returns `true` if a token may contain this character (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The characters allowed in tokens.
pub(crate) static TOKEN: Set = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// All but the control characters. The tab, which a line may contain, is handled separately.
static TEXT: Set = {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < set.len() {
        set[byte] = !(byte as u8).is_ascii_control();
        byte += 1;
    }
    set
};

/// Returns the set of letters, digits and `others`.
pub(crate) const fn alphanumeric_and(others: &[u8]) -> Set {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < set.len() {
        set[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        set[others[place] as usize] = true;
        place += 1;
    }
    set
}

/// Returns the set of visible ASCII characters without `others`.
pub(crate) const fn visible_except(others: &[u8]) -> Set {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < set.len() {
        set[byte] = (byte as u8).is_ascii_graphic();
        byte += 1;
    }
    let mut place = 0;
    while place < others.len() {
        set[others[place] as usize] = false;
        place += 1;
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_the_first_character_that_is_not_allowed() {
        for length in 0..12 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b"aZ9!-"[place % 5]; length];
                    bytes[place] = byte;
                    let ends = !byte.is_ascii_graphic() || b"\"(),/:;<=>?@[\\]{}".contains(&byte);
                    assert_eq!(
                        end_of(&TOKEN, &bytes, 0),
                        if ends { place } else { length },
                        "{bytes:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn text_ends_at_the_first_control_character_except_the_tab() {
        for length in 0..40 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![[b'a', b'\t', 0x80][place % 3]; length];
                    bytes[place] = byte;
                    let ends = byte.is_ascii_control() && byte != b'\t';
                    assert_eq!(
                        end_of_text(&bytes, 0),
                        if ends { place } else { length },
                        "{bytes:?}"
                    );
                    assert_eq!(end_of_text(&bytes, length), length);
                }
            }
        }
    }
}
