//! The characters that may be in a line: all but the control characters, of which only the tab may be there.

/// The place of the first character, from `at` on, that no line may have, or of the end.
#[inline]
pub(super) fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    loop {
        // Eight bytes at a time. The tab looks wrong at first, too.
        while let Some(word) = bytes[at..].first_chunk() {
            let word = u64::from_le_bytes(*word);
            let wrong = below(word, b' ') | below(word ^ EACH * 0x7f, 1);
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

#[cfg(test)]
mod tests {
    use super::*;

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
