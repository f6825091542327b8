//! The characters that may be in a line, all but the control characters, of which only the tab may be there; and those
//! of tokens.

/// The place of the first character, from `at` on, that no token may have, or of the end.
#[inline(always)]
pub(super) fn end_of_token(bytes: &[u8], mut at: usize) -> usize {
    // Four at a time, which takes half of the instructions.
    while let Some(&[a, b, c, d]) = bytes[at..].first_chunk() {
        if !TOKEN[a as usize] {
            return at;
        }
        if !TOKEN[b as usize] {
            return at + 1;
        }
        if !TOKEN[c as usize] {
            return at + 2;
        }
        if !TOKEN[d as usize] {
            return at + 3;
        }
        at += 4;
    }
    while bytes.get(at).is_some_and(|&byte| TOKEN[byte as usize]) {
        at += 1;
    }
    at
}

/// Whether a token may have this character (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// The place of the first character, from `at` on, that no line may have, or of the end.
#[inline]
pub(super) fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    loop {
        // Eight bytes at a time. The tab looks wrong at first, too.
        while let Some(word) = bytes[at..].first_chunk() {
            let word = u64::from_le_bytes(*word);
            let wrong = below(word, b' ') | below(word ^ (EACH * 0x7f), 1);
            if wrong != 0 {
                at += wrong.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(b'\t' | b' '..=b'~' | 0x80..) => at += 1,
            _ => return at,
        }
    }
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
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut place = 0;
    while place < others.len() {
        table[others[place] as usize] = true;
        place += 1;
    }
    table
};

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
                        end_of_token(&bytes, 0),
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
