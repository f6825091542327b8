//! The masking of what clients send (RFC 6455, 5.3).

use std::io;

/// Masks or unmasks bytes in place. `offset` is the number of bytes of the same payload that came before them.
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
    is_ascii_after(bytes, key, offset);
}

/// Masks bytes as [`apply`] does; returns whether they are ASCII afterwards, which costs nothing while they are at hand.
pub(super) fn is_ascii_after(bytes: &mut [u8], key: [u8; 4], offset: usize) -> bool {
    apply_to_words(bytes, rotated(word_of(key), offset)) & NOT_ASCII == 0
}

/// As [`is_ascii_after`] for the beginning of a payload; short ones, as most are, take no call.
#[inline(always)]
pub(super) fn is_ascii_after_all(bytes: &mut [u8], key: [u8; 4]) -> bool {
    if bytes.len() < SHORT {
        apply_to_words(bytes, word_of(key)) & NOT_ASCII == 0
    } else {
        is_ascii_after(bytes, key, 0)
    }
}

/// The key twice.
#[inline]
fn word_of(key: [u8; 4]) -> u64 {
    let half = u64::from(u32::from_ne_bytes(key));
    (half << 32) | half
}

/// A key as it is from a place on.
#[inline]
fn rotated(word: u64, place: usize) -> u64 {
    let bits = 8 * (place % 4) as u32;
    if cfg!(target_endian = "little") {
        word.rotate_right(bits)
    } else {
        word.rotate_left(bits)
    }
}

/// Payloads below this length are masked without a call.
const SHORT: usize = 64;

/// The bits that no ASCII character has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// Masks bytes by a key that is in the word twice; returns all bits that are set afterwards.
///
/// The loop over words is as plain as it is so that the compiler makes it one over vectors.
#[inline(always)]
fn apply_to_words(bytes: &mut [u8], word: u64) -> u64 {
    let mut seen = 0;
    // The last word is read before those that it may overlap with are written, and written after them.
    let Some(last) = bytes.last_chunk().map(|last| u64::from_ne_bytes(*last)) else {
        for (byte, key) in bytes.iter_mut().zip(word.to_ne_bytes()) {
            *byte ^= key;
            seen |= u64::from(*byte);
        }
        return seen;
    };
    let last = last ^ rotated(word, bytes.len());
    for bytes in bytes.as_chunks_mut::<8>().0 {
        let plain = u64::from_ne_bytes(*bytes) ^ word;
        seen |= plain;
        *bytes = plain.to_ne_bytes();
    }
    if let Some(place) = bytes.last_chunk_mut() {
        *place = last.to_ne_bytes();
    }
    seen | last
}

/// The keys that a client masks its frames with, which nobody can foresee (RFC 6455, 10.3): from the system's random
/// source, many at a time.
#[derive(Debug)]
pub struct Keys {
    random: [u8; Keys::BYTES],
    used: usize,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            random: [0; Keys::BYTES],
            used: Keys::BYTES,
        }
    }
}

impl Keys {
    /// What is asked of the system in one call, which Linux then answers whole.
    const BYTES: usize = 256;

    /// No keys yet; they are drawn when they are needed.
    pub fn new() -> Keys {
        Keys::default()
    }

    /// The next key.
    ///
    /// # Errors
    ///
    /// The system has no random source, or does not let the process use it.
    pub fn next_key(&mut self) -> io::Result<[u8; 4]> {
        if self.used == Keys::BYTES {
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
    fn each_length_and_offset_is_masked_as_byte_by_byte() {
        for length in (0..200).chain([1000, 1023, 1024]) {
            for offset in 0..5 {
                let bytes: Vec<u8> = (0..length).map(|place| (place * 7) as u8).collect();
                let expected: Vec<u8> = bytes
                    .iter()
                    .enumerate()
                    .map(|(place, byte)| byte ^ KEY[(place + offset) % 4])
                    .collect();
                let mut masked = bytes.clone();
                let ascii = is_ascii_after(&mut masked, KEY, offset);
                assert_eq!((masked, ascii), (expected.clone(), expected.is_ascii()));
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_seen_wherever_it_is() {
        for length in [1, 3, 4, 7, 20, 125, 300] {
            for place in 0..length {
                let mut bytes = vec![b'a'; length];
                apply(&mut bytes, KEY, 0);
                assert!(is_ascii_after(&mut bytes.clone(), KEY, 0));
                bytes[place] ^= 0x80;
                assert!(!is_ascii_after(&mut bytes, KEY, 0), "{place} of {length}");
            }
        }
    }

    #[test]
    fn no_key_is_handed_out_twice() {
        let mut keys = Keys::new();
        let drawn: HashSet<_> = (0..1000).map(|_| keys.next_key().unwrap()).collect();
        // Two of a thousand random ones are the same once in 8,600 runs, three pairs never.
        assert!(drawn.len() > 997);
    }
}
