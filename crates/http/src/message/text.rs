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

/// Returns `true` if all characters of `text` are allowed in a line: all but control characters other than the tab.
#[inline]
pub(crate) fn is_text(text: &[u8]) -> bool {
    let has_controls = match text.len() {
        0..=3 => text.iter().any(u8::is_ascii_control),
        4..=15 => words_of(text).any(|word| controls(word) != 0),
        _ => blocks_of(text).any(|block| block.controls() != 0),
    };
    !has_controls || end_of_text(text, 0) == text.len()
}

/// Returns `true` if `name` is a token without upper-case letters, and not empty.
#[inline]
pub(crate) fn is_lower_case_token(name: &[u8]) -> bool {
    let is_plain = match name.len() {
        0 => return false,
        1..=3 => false,
        4..=15 => words_of(name).all(|word| non_plain_lower(word) == 0),
        _ => blocks_of(name).all(|block| block.non_plain_lower_name() == 0),
    };
    is_plain || end_of(&LOWER_CASE_TOKEN, name, 0) == name.len()
}

/// Returns the characters of a text of 4 to 15 characters in two words, which may overlap.
#[inline(always)]
fn words_of(text: &[u8]) -> impl Iterator<Item = u64> {
    let words = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => [first, last].map(|word| u64::from_le_bytes(*word)),
        _ => {
            let word = |word: Option<&[u8; 4]>| word.map_or(0, |word| u32::from_le_bytes(*word));
            let (first, last) = (word(text.first_chunk()), word(text.last_chunk()));
            [u64::from(first) | u64::from(last) << 32; 2]
        }
    };
    words.into_iter()
}

/// Returns the blocks of a text of at least 16 characters. The last two may overlap.
#[inline(always)]
fn blocks_of(text: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let (blocks, rest) = text.as_chunks();
    let last = match rest {
        [] => None,
        _ => text.last_chunk(),
    };
    blocks.iter().chain(last).map(Block::of)
}

/// The highest bit of each byte of a word.
const HIGH_BITS: u64 = all(0x80);

const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Returns the highest bit of each byte that is at least `least`, for bytes and `least` below 128.
#[inline(always)]
const fn at_least(bytes: u64, least: u8) -> u64 {
    (bytes + all(0x80 - least)) & HIGH_BITS
}

/// Returns the highest bit of each byte of a word that is a control character.
#[inline(always)]
fn controls(word: u64) -> u64 {
    let low = word & all(0x7f);
    (!at_least(low, 0x20) | at_least(low, 0x7f)) & !word & HIGH_BITS
}

/// Returns the highest bit of each byte of a word that is neither a lower-case letter nor a hyphen.
#[inline(always)]
fn non_plain_lower(word: u64) -> u64 {
    let low = word & all(0x7f);
    let letters = at_least(low, b'a') & !at_least(low, b'z' + 1);
    let hyphens = !at_least(low ^ all(b'-'), 1);
    (!(letters | hyphens) | word) & HIGH_BITS
}

/// Returns `true` if a token may contain this character (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The characters allowed in tokens.
pub(crate) static TOKEN: Set = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// The characters allowed in tokens, without upper-case letters.
static LOWER_CASE_TOKEN: Set = {
    let mut set = TOKEN;
    let mut byte = b'A';
    while byte <= b'Z' {
        set[byte as usize] = false;
        byte += 1;
    }
    set
};

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
                    assert_eq!(is_text(&bytes), !ends, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn names_of_http_2_are_tokens_without_upper_case_letters() {
        assert!(!is_lower_case_token(b""));
        for length in 1..40 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut name = vec![b"az-"[place % 3]; length];
                    name[place] = byte;
                    let is_token = is_token(byte) && !byte.is_ascii_uppercase();
                    assert_eq!(is_lower_case_token(&name), is_token, "{name:?}");
                }
            }
        }
    }
}
