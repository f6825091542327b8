//! Incremental UTF-8 validation (RFC 6455, section 8.1).

use simdutf8::{basic, compat};

use super::invalid::Invalid;

/// Checks whether `bytes` are valid UTF-8 as a whole.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), Invalid> {
    match basic::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::UTF8),
    }
}

/// An incremental UTF-8 validator. The text is passed in chunks, which may be split within a character; validation fails at the
/// first byte that cannot be part of valid UTF-8.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::Utf8Validator;
///
/// let mut text = Utf8Validator::new();
/// text.push(b"gr\xc3").unwrap();
/// text.push(b"\xbc").unwrap();
/// text.push(b"\xe0").unwrap();
/// assert!(text.finish().is_err());
/// assert!(text.push(b"\x80").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Validator {
    /// The bytes of an incomplete character.
    incomplete: [u8; 4],
    length: u8,
}

impl Utf8Validator {
    /// Creates a validator at the start of a text.
    pub fn new() -> Utf8Validator {
        Utf8Validator::default()
    }

    /// Validates the next chunk.
    ///
    /// # Errors
    ///
    /// The text is not valid UTF-8.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.length > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            let length = usize::from(self.length);
            let Some(next) = self.incomplete.get_mut(length) else {
                return Err(Invalid::UTF8);
            };
            *next = byte;
            self.length = match str::from_utf8(&self.incomplete[..=length]) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() => self.length + 1,
                Err(_) => return Err(Invalid::UTF8),
            };
        }
        if let Err(error) = compat::from_utf8(piece) {
            let incomplete = &piece[error.valid_up_to()..];
            match self.incomplete.get_mut(..incomplete.len()) {
                Some(buffer) if error.error_len().is_none() => buffer.copy_from_slice(incomplete),
                _ => return Err(Invalid::UTF8),
            }
            self.length = incomplete.len() as u8;
        }
        Ok(())
    }

    /// Checks whether the text may end here.
    ///
    /// # Errors
    ///
    /// The last character is incomplete.
    pub fn finish(&self) -> Result<(), Invalid> {
        if self.length > 0 {
            return Err(Invalid::UTF8);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of bytes after which validation fails, in chunks of a size; `None` if it succeeds.
    fn fails_after(bytes: &[u8], size: usize) -> Option<usize> {
        let mut text = Utf8Validator::new();
        for (number, piece) in bytes.chunks(size).enumerate() {
            if text.push(piece).is_err() {
                return Some(number * size + piece.len());
            }
        }
        text.finish().is_err().then_some(bytes.len())
    }

    /// Returns the expected result for chunks of one byte: the length of the shortest prefix that is not the start of any valid text.
    fn expected(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len())
            .find(|&end| {
                matches!(str::from_utf8(&bytes[..end]), Err(error) if error.error_len().is_some())
            })
            .or_else(|| str::from_utf8(bytes).is_err().then_some(bytes.len()))
    }

    #[test]
    fn invalid_sequences_fail_at_the_first_invalid_byte() {
        for first in 0x80..=0xff {
            for second in 0..=0xff {
                for rest in [&[][..], &[0x80], &[0x80, 0x80], &[0xc0], &[0x80, b'a']] {
                    let bytes = [&[first, second], rest].concat();
                    assert_eq!(fails_after(&bytes, 1), expected(&bytes), "{bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn an_invalid_byte_is_detected_at_each_index() {
        let text = "Ein längerer Text – mit ϰόσμε, 日本語 und 🦀, "
            .repeat(5)
            .into_bytes();
        for index in 0..text.len() {
            for wrong in [0xff, 0xc0, 0xf8] {
                let mut bytes = text.clone();
                bytes[index] = wrong;
                for size in [1, 2, 3, 64, 65, bytes.len()] {
                    let after = fails_after(&bytes, size).unwrap();
                    let first = expected(&bytes).unwrap();
                    assert!(after >= first && after < first + size, "{index} {size}");
                }
                assert_eq!(check(&bytes), Err(Invalid::UTF8));
            }
        }
        for size in 1..70 {
            assert_eq!(fails_after(&text, size), None);
        }
        assert_eq!(check(&text), Ok(()));
    }
}
