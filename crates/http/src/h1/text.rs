//! The characters that may be in a line, all but the control characters, of which only the tab may be there; and sets of
//! those that may be in its parts.

/// A set of characters.
pub(super) type Set = [bool; 256];

/// The place of the first character, from `at` on, that is not in a set, or of the end.
#[inline(always)]
pub(super) fn end_of(set: &Set, bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    // Four at a time, which takes half of the instructions.
    let (fours, last) = rest.as_chunks();
    let mut place = at;
    for &[a, b, c, d] in fours {
        if !set[a as usize] {
            return place;
        }
        if !set[b as usize] {
            return place + 1;
        }
        if !set[c as usize] {
            return place + 2;
        }
        if !set[d as usize] {
            return place + 3;
        }
        place += 4;
    }
    for &byte in last {
        if !set[byte as usize] {
            break;
        }
        place += 1;
    }
    place
}

/// Whether a token may have this character (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// The place of the first character, from `at` on, that no line may have, or of the end.
#[inline]
pub(super) fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = end_of_plain(bytes, at);
        match bytes.get(at) {
            Some(b'\t') => at += 1,
            _ => return at,
        }
    }
}

/// The place of the first control character from `at` on, or of the end.
#[inline(always)]
fn end_of_plain(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, last) = rest.as_chunks();
    let mut place = at;
    for word in words {
        let wrong = controls(u64::from_le_bytes(*word));
        if wrong != 0 {
            return place + wrong.trailing_zeros() as usize / 8;
        }
        place += 8;
    }
    if let Some(word) = rest.last_chunk() {
        // What of it was looked at is shifted out; the zeros that come in stand for the end.
        let seen = 8 * (8 - last.len() as u32);
        let word = u64::from_le_bytes(*word).checked_shr(seen).unwrap_or(0);
        let wrong = controls(word).trailing_zeros() as usize / 8;
        return place + wrong.min(last.len());
    }
    for byte in last {
        if byte.is_ascii_control() {
            break;
        }
        place += 1;
    }
    place
}

/// Not 0 if a byte of a word is a control character. Its lowest bit is in the first such byte, counted from the lowest.
#[inline(always)]
fn controls(word: u64) -> u64 {
    below(word, b' ') | below(word ^ (EACH * 0x7f), 1)
}

/// 1 in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Not 0 if a byte of a word is below a limit of at most 128. Its lowest bit is in the first such byte, counted from the
/// lowest.
#[inline(always)]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH * 0x80)
}

/// The characters of tokens.
pub(super) static TOKEN: Set = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Letters, digits and others.
pub(super) const fn alphanumeric_and(others: &[u8]) -> Set {
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

/// The visible characters of ASCII but those given.
pub(super) const fn visible_but(others: &[u8]) -> Set {
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
    fn a_token_ends_at_the_first_character_that_none_has() {
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
    fn text_ends_at_the_first_control_character_but_the_tab() {
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
