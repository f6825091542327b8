//! Encoding and decoding of numbers, strings and lists.

use bytes::Bytes;

use super::CodecError;

/// Maximum length of bytes that are copied out of the received message, which may be part of a large read buffer. Longer ones share its memory.
const MAX_COPIED: usize = 16 * 1024;

/// Maximum number of list elements for which space is reserved before they are decoded.
const MAX_RESERVED: usize = 256;

/// A reader of the parts of a message.
pub(super) struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Reader {
        Reader { bytes, at: 0 }
    }

    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Reads `count` bytes, which share the memory of the message.
    pub(super) fn take(&mut self, count: usize) -> Result<Bytes, CodecError> {
        if count > self.remaining() {
            return Err(CodecError::Truncated);
        }
        let taken = self.bytes.slice(self.at..self.at + count);
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let rest = &self.bytes[self.at..];
        let array = *rest.first_chunk().ok_or(CodecError::Truncated)?;
        self.at += N;
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads a number of at most ten bytes. Each byte has seven bits, and the lowest bits come first.
    pub(super) fn number(&mut self) -> Result<u64, CodecError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // Each number has exactly one encoding.
                return match byte == 0 && shift > 0 {
                    true => Err(CodecError::Number),
                    false => Ok(number),
                };
            }
        }
        Err(CodecError::Number)
    }

    pub(super) fn size(&mut self) -> Result<usize, CodecError> {
        usize::try_from(self.number()?).map_err(|_| CodecError::Number)
    }

    /// Reads bytes that are prefixed with their length.
    pub(super) fn bytes(&mut self) -> Result<Bytes, CodecError> {
        let count = self.size()?;
        let bytes = self.take(count)?;
        Ok(match bytes.len() <= MAX_COPIED {
            true => Bytes::copy_from_slice(&bytes),
            false => bytes,
        })
    }

    pub(super) fn string(&mut self) -> Result<String, CodecError> {
        let count = self.size()?;
        let bytes = self.take(count)?;
        let text = str::from_utf8(&bytes).map_err(|_| CodecError::Utf8)?;
        Ok(text.to_owned())
    }

    /// Reads a list that is prefixed with the number of its elements.
    pub(super) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Reader) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, CodecError> {
        let count = self.size()?;
        // Each element has at least one byte.
        if count > self.remaining() {
            return Err(CodecError::Truncated);
        }
        let mut list = Vec::with_capacity(count.min(MAX_RESERVED));
        for _ in 0..count {
            list.push(element(self)?);
        }
        Ok(list)
    }

    pub(super) fn strings(&mut self) -> Result<Vec<String>, CodecError> {
        self.list(Reader::string)
    }

    /// Returns the remaining bytes.
    pub(super) fn rest(self) -> Bytes {
        self.bytes.slice(self.at..)
    }

    /// Checks that the message has been read to its end.
    pub(super) fn finish(self) -> Result<(), CodecError> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(CodecError::Trailing),
        }
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The cast keeps the low seven bits.
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_size(out: &mut Vec<u8>, size: usize) {
    put_number(out, size as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_size(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(super) fn put_strings(out: &mut Vec<u8>, strings: &[String]) {
    put_size(out, strings.len());
    for string in strings {
        put_bytes(out, string.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &'static [u8]) -> Result<u64, CodecError> {
        Reader::new(Bytes::from_static(bytes)).number()
    }

    #[test]
    fn numbers_have_exactly_one_encoding() {
        for value in [
            0,
            1,
            127,
            128,
            300,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            let mut reader = Reader::new(out.into());
            assert_eq!(reader.number(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        assert_eq!(number(&[0x80]), Err(CodecError::Truncated));
        assert_eq!(number(&[0x80, 0]), Err(CodecError::Number));
        assert_eq!(
            number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(CodecError::Number)
        );
        assert_eq!(number(&[0xff; 11]), Err(CodecError::Number));
    }

    #[test]
    fn a_list_longer_than_the_message_reserves_no_memory() {
        let mut out = Vec::new();
        put_number(&mut out, u64::from(u32::MAX));
        out.extend_from_slice(&[0; 8]);
        assert_eq!(
            Reader::new(out.into()).strings(),
            Err(CodecError::Truncated)
        );
    }

    #[test]
    fn short_bytes_are_copied_and_long_bytes_are_shared() {
        for (length, is_shared) in [(MAX_COPIED, false), (MAX_COPIED + 1, true)] {
            let mut out = Vec::new();
            put_bytes(&mut out, &vec![7; length]);
            let message = Bytes::from(out);
            let bytes = Reader::new(message.clone()).bytes().unwrap();
            assert_eq!(bytes.len(), length);
            assert_eq!(message.as_ptr_range().contains(&bytes.as_ptr()), is_shared);
        }
    }
}
