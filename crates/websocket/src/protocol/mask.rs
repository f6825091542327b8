//! Masking of frames from clients (RFC 6455, section 5.3).

use std::io;

/// Masks or unmasks bytes in place. `offset` is the number of preceding bytes of the same payload.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::mask;
///
/// let mut bytes = *b"hello";
/// mask::apply(&mut bytes, [1, 2, 3, 4], 0);
/// mask::apply(&mut bytes[..2], [1, 2, 3, 4], 0);
/// mask::apply(&mut bytes[2..], [1, 2, 3, 4], 2);
/// assert_eq!(&bytes, b"hello");
/// ```
pub fn apply(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    apply_and_check_ascii(bytes, key, offset);
}

/// Masks bytes like [`apply`]; returns `true` if the result is ASCII, which is checked in the same pass.
pub(super) fn apply_and_check_ascii(bytes: &mut [u8], key: [u8; 4], offset: usize) -> bool {
    apply_to_words(bytes, rotated(word_of(key), offset)) & NOT_ASCII == 0
}

/// Calls [`apply_and_check_ascii`] with the offset 0; inlined for short payloads, which are the most common.
#[inline(always)]
pub(super) fn apply_and_check_ascii_from_start(bytes: &mut [u8], key: [u8; 4]) -> bool {
    if bytes.len() < SHORT {
        apply_to_words(bytes, word_of(key)) & NOT_ASCII == 0
    } else {
        apply_and_check_ascii(bytes, key, 0)
    }
}

/// Returns a word with the key twice.
#[inline]
fn word_of(key: [u8; 4]) -> u64 {
    let half = u64::from(u32::from_ne_bytes(key));
    (half << 32) | half
}

/// Returns the word with the key for an offset.
#[inline]
fn rotated(word: u64, offset: usize) -> u64 {
    let bits = 8 * (offset % 4) as u32;
    if cfg!(target_endian = "little") {
        word.rotate_right(bits)
    } else {
        word.rotate_left(bits)
    }
}

/// Length below which payloads are masked inline.
const SHORT: usize = 64;

/// The bits that no ASCII character has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// Masks bytes with a word that contains the key twice; returns the union of all bits of the result.
///
/// The loop over words is simple enough for the compiler to vectorize it.
#[inline(always)]
fn apply_to_words(bytes: &mut [u8], word: u64) -> u64 {
    let mut bits = 0;
    // The last word may overlap with others: it is read before they are written, and written after them.
    let Some(last) = bytes.last_chunk().map(|last| u64::from_ne_bytes(*last)) else {
        for (byte, key) in bytes.iter_mut().zip(word.to_ne_bytes()) {
            *byte ^= key;
            bits |= u64::from(*byte);
        }
        return bits;
    };
    let last = last ^ rotated(word, bytes.len());
    for bytes in bytes.as_chunks_mut::<8>().0 {
        let plain = u64::from_ne_bytes(*bytes) ^ word;
        bits |= plain;
        *bytes = plain.to_ne_bytes();
    }
    if let Some(end) = bytes.last_chunk_mut() {
        *end = last.to_ne_bytes();
    }
    bits | last
}

/// Unpredictable masking keys for the frames of a client (RFC 6455, section 10.3), read from the system's random
/// source in batches.
#[derive(Debug)]
pub struct MaskingKeys {
    random: [u8; MaskingKeys::BYTES],
    used: usize,
}

impl Default for MaskingKeys {
    fn default() -> MaskingKeys {
        MaskingKeys {
            random: [0; MaskingKeys::BYTES],
            used: MaskingKeys::BYTES,
        }
    }
}

impl MaskingKeys {
    /// Number of random bytes per system call; Linux always returns this number at once.
    const BYTES: usize = 256;

    /// Creates an empty supply; keys are generated when they are needed.
    pub fn new() -> MaskingKeys {
        MaskingKeys::default()
    }

    /// Returns the next key.
    ///
    /// # Errors
    ///
    /// The system has no random source, or does not allow the process to use it.
    pub fn next_key(&mut self) -> io::Result<[u8; 4]> {
        if self.used == MaskingKeys::BYTES {
            getrandom::fill(&mut self.random).map_err(io::Error::from)?;
            self.used = 0;
        }
        let mut key = [0; 4];
        let left = self.random.get(self.used..).unwrap_or_default();
        if let Some(first) = left.first_chunk() {
            key = *first;
        }
        self.used += key.len();
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEY: [u8; 4] = [0x11, 0x80, 0xff, 0x07];

    #[test]
    fn masking_matches_a_byte_by_byte_implementation() {
        for length in (0..200).chain([1000, 1023, 1024]) {
            for offset in 0..5 {
                let bytes: Vec<u8> = (0..length).map(|index| (index * 7) as u8).collect();
                let expected: Vec<u8> = bytes
                    .iter()
                    .enumerate()
                    .map(|(index, byte)| byte ^ KEY[(index + offset) % 4])
                    .collect();
                let mut masked = bytes.clone();
                let ascii = apply_and_check_ascii(&mut masked, KEY, offset);
                assert_eq!((masked, ascii), (expected.clone(), expected.is_ascii()));
            }
        }
    }

    #[test]
    fn a_non_ascii_byte_is_detected_at_each_index() {
        for length in [1, 3, 4, 7, 20, 125, 300] {
            for index in 0..length {
                let mut bytes = vec![b'a'; length];
                apply(&mut bytes, KEY, 0);
                assert!(apply_and_check_ascii(&mut bytes.clone(), KEY, 0));
                bytes[index] ^= 0x80;
                assert!(
                    !apply_and_check_ascii(&mut bytes, KEY, 0),
                    "{index} of {length}"
                );
            }
        }
    }

    #[test]
    fn keys_do_not_repeat() {
        let mut keys = MaskingKeys::new();
        let drawn: HashSet<_> = (0..1000).map(|_| keys.next_key().unwrap()).collect();
        // Among a thousand random keys, one pair is equal in one of 8,600 runs, and three pairs practically never.
        assert!(drawn.len() > 997);
    }
}
