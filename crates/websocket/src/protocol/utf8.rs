//! UTF-8 that comes in pieces (RFC 6455, 8.1).

use simdutf8::{basic, compat};

use super::invalid::Invalid;

/// Whether bytes are UTF-8 as a whole.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), Invalid> {
    match basic::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::UTF8),
    }
}

/// Checks text that comes in pieces, which may be cut within a character, and fails at the first byte that cannot be
/// right, whatever follows.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::Utf8;
///
/// let mut text = Utf8::new();
/// text.push(b"gr\xc3").unwrap();
/// text.push(b"\xbc").unwrap();
/// text.push(b"\xe0").unwrap();
/// assert!(text.finish().is_err());
/// assert!(text.push(b"\x80").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character that was cut.
    begun: [u8; 4],
    length: u8,
}

impl Utf8 {
    /// At the beginning of a text.
    pub fn new() -> Utf8 {
        Utf8::default()
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// No text goes on like this.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.length > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            let length = usize::from(self.length);
            let Some(place) = self.begun.get_mut(length) else {
                return Err(Invalid::UTF8);
            };
            *place = byte;
            self.length = match str::from_utf8(&self.begun[..=length]) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() => self.length + 1,
                Err(_) => return Err(Invalid::UTF8),
            };
        }
        if let Err(error) = compat::from_utf8(piece) {
            let begun = &piece[error.valid_up_to()..];
            match self.begun.get_mut(..begun.len()) {
                Some(place) if error.error_len().is_none() => place.copy_from_slice(begun),
                _ => return Err(Invalid::UTF8),
            }
            self.length = begun.len() as u8;
        }
        Ok(())
    }

    /// Whether the text may end here.
    ///
    /// # Errors
    ///
    /// Its last character is cut.
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

    /// The number of bytes after which it fails, in pieces of a size; none if it does not.
    fn fails_after(bytes: &[u8], size: usize) -> Option<usize> {
        let mut text = Utf8::new();
        for (number, piece) in bytes.chunks(size).enumerate() {
            if text.push(piece).is_err() {
                return Some(number * size + piece.len());
            }
        }
        text.finish().is_err().then_some(bytes.len())
    }

    /// The same, by definition: there is no text that begins with the bytes up to there.
    fn expected(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len())
            .find(|&end| {
                matches!(str::from_utf8(&bytes[..end]), Err(error) if error.error_len().is_some())
            })
            .or_else(|| str::from_utf8(bytes).is_err().then_some(bytes.len()))
    }

    #[test]
    fn each_pair_of_bytes_and_what_follows_fails_as_early_as_it_can() {
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
    fn a_wrong_byte_is_found_at_each_place() {
        let text = "Ein längerer Text – mit ϰόσμε, 日本語 und 🦀, "
            .repeat(5)
            .into_bytes();
        for place in 0..text.len() {
            for wrong in [0xff, 0xc0, 0xf8] {
                let mut bytes = text.clone();
                bytes[place] = wrong;
                for size in [1, 2, 3, 64, 65, bytes.len()] {
                    let after = fails_after(&bytes, size).unwrap();
                    let first = expected(&bytes).unwrap();
                    assert!(after >= first && after < first + size, "{place} {size}");
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
