//! Frames with a length prefix.

use bytes::Bytes;

use super::{Decoder, MAX_FRAME, PartialFrame, check_length};
use crate::error::Error;

/// The encoding of a frame's length. The length does not include the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthPrefix {
    /// One byte.
    U8,
    /// Two bytes, big-endian.
    U16,
    /// Two bytes, little-endian.
    U16Le,
    /// Four bytes, big-endian.
    U32,
    /// Four bytes, little-endian.
    U32Le,
}

impl LengthPrefix {
    /// Returns the size of the prefix in bytes.
    pub const fn size(self) -> usize {
        match self {
            LengthPrefix::U8 => 1,
            LengthPrefix::U16 | LengthPrefix::U16Le => 2,
            LengthPrefix::U32 | LengthPrefix::U32Le => 4,
        }
    }

    /// Returns `frame` with its prefix; `None` if the frame is too long for the prefix.
    pub fn encode(self, frame: &[u8]) -> Option<Bytes> {
        let length = u32::try_from(frame.len()).ok()?;
        let short = || u16::try_from(length).ok();
        let mut all = Vec::with_capacity(self.size() + frame.len());
        match self {
            LengthPrefix::U8 => all.push(u8::try_from(length).ok()?),
            LengthPrefix::U16 => all.extend_from_slice(&short()?.to_be_bytes()),
            LengthPrefix::U16Le => all.extend_from_slice(&short()?.to_le_bytes()),
            LengthPrefix::U32 => all.extend_from_slice(&length.to_be_bytes()),
            LengthPrefix::U32Le => all.extend_from_slice(&length.to_le_bytes()),
        }
        all.extend_from_slice(frame);
        Some(all.into())
    }

    /// Decodes the bytes of a prefix.
    fn decode(self, prefix: impl Iterator<Item = u8>) -> usize {
        let add = |length: usize, byte: (usize, u8)| {
            let (index, byte) = byte;
            let shift = match self {
                LengthPrefix::U16Le | LengthPrefix::U32Le => index,
                _ => self.size() - 1 - index,
            };
            length | usize::from(byte) << (8 * shift)
        };
        prefix.enumerate().fold(0, add)
    }
}

/// A decoder that splits bytes into frames with a length prefix. The items are the frames without the prefix.
///
/// An input that ends within a frame is an error: [`Error::Incomplete`].
///
/// # Limits
/// A frame of more than 64 KiB is an error; see [`max_length`](LengthPrefixDecoder::max_length). Memory for a frame is
/// allocated only as its bytes arrive.
#[derive(Clone, Debug)]
pub struct LengthPrefixDecoder {
    partial: PartialFrame,
    prefix: LengthPrefix,
    max_length: usize,
}

impl LengthPrefixDecoder {
    /// Creates a decoder of frames of at most 64 KiB.
    pub fn new(prefix: LengthPrefix) -> Self {
        LengthPrefixDecoder {
            partial: PartialFrame::default(),
            prefix,
            max_length: MAX_FRAME,
        }
    }

    /// Sets the maximum length of a frame in bytes, without the prefix. Default: 64 KiB.
    #[must_use]
    pub fn max_length(self, limit: usize) -> Self {
        LengthPrefixDecoder {
            max_length: limit,
            ..self
        }
    }

    /// Returns the number of bytes of `input` that complete the frame; `Err` contains the minimum number of missing bytes.
    fn needed(&self, input: &[u8]) -> Result<Result<usize, usize>, Error> {
        let (size, known) = (self.prefix.size(), self.partial.0.len());
        let prefix = self.partial.0.iter().chain(input).copied().take(size);
        let available = known + input.len();
        if available < size {
            return Ok(Err(size - available));
        }
        let length = self.prefix.decode(prefix);
        check_length(length, self.max_length)?;
        let whole = size.saturating_add(length);
        Ok(match whole.checked_sub(available) {
            None | Some(0) => Ok(whole - known),
            Some(missing) => Err(missing),
        })
    }
}

impl Decoder for LengthPrefixDecoder {
    type Item = Bytes;

    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        match self.needed(input)? {
            Ok(count) => {
                let frame = self.partial.complete(input, count);
                Ok(Some(frame.slice(self.prefix.size()..)))
            }
            Err(_) => {
                self.partial.keep(input);
                Ok(None)
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        if self.partial.0.is_empty() {
            return Ok(None);
        }
        match self.needed(&[])? {
            Err(missing) => Err(Error::Incomplete { missing }),
            // A complete frame has already been returned.
            Ok(_) => Ok(None),
        }
    }
}
