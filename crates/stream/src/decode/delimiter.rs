//! Frames that end with a delimiter.

use bytes::Bytes;
use memchr::memmem::{self, Finder};

use super::{Decoder, MAX_FRAME, PartialFrame, check_length};
use crate::error::Error;

/// A decoder that splits bytes at a delimiter of one or more bytes. The items are the frames without the delimiters.
///
/// The delimiter after the last frame is optional. Two adjacent delimiters produce an empty item. An empty delimiter never
/// matches: the whole input is one frame.
///
/// # Limits
/// A frame of more than 64 KiB is an error; see [`max_length`](DelimiterDecoder::max_length).
#[derive(Clone, Debug)]
pub struct DelimiterDecoder {
    partial: PartialFrame,
    delimiter: Finder<'static>,
    max_length: usize,
}

impl DelimiterDecoder {
    /// Creates a decoder of frames of at most 64 KiB.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Self {
        DelimiterDecoder {
            partial: PartialFrame::default(),
            delimiter: Finder::new(delimiter.as_ref()).into_owned(),
            max_length: MAX_FRAME,
        }
    }

    /// Sets the maximum length of a frame in bytes, without the delimiter. Default: 64 KiB.
    #[must_use]
    pub fn max_length(self, limit: usize) -> Self {
        DelimiterDecoder {
            max_length: limit,
            ..self
        }
    }

    /// Returns the end of the first delimiter in `input`; the delimiter may have started in the previous input.
    fn find(&self, input: &[u8]) -> Option<usize> {
        let delimiter = self.delimiter.needle();
        let before = delimiter.len().checked_sub(1)?;
        let partial = &self.partial.0;
        let straddling = before.min(partial.len());
        if straddling > 0 {
            let mut boundary = partial[partial.len() - straddling..].to_vec();
            boundary.extend_from_slice(&input[..before.min(input.len())]);
            if let Some(begin) = memmem::find(&boundary, delimiter) {
                return Some(begin + delimiter.len() - straddling);
            }
        }
        let begin = self.delimiter.find(input)?;
        Some(begin + delimiter.len())
    }
}

impl Decoder for DelimiterDecoder {
    type Item = Bytes;

    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        let delimiter = self.delimiter.needle().len();
        match self.find(input) {
            Some(end) => {
                let mut frame = self.partial.complete(input, end);
                frame.truncate(frame.len() - delimiter);
                check_length(frame.len(), self.max_length)?;
                Ok(Some(frame))
            }
            None => {
                // The last bytes may be the start of a delimiter, which does not count towards the limit.
                let length = self.partial.0.len() + input.len();
                check_length(
                    (length + 1).saturating_sub(delimiter.max(1)),
                    self.max_length,
                )?;
                self.partial.keep(input);
                Ok(None)
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(frame) = self.partial.take_rest() else {
            return Ok(None);
        };
        check_length(frame.len(), self.max_length)?;
        Ok(Some(frame))
    }
}
