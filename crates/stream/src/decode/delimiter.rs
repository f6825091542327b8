//! Frames with a delimiter behind each.

use bytes::Bytes;
use memchr::memmem::{self, Finder};

use super::{Decoder, MAX_FRAME, Partial, check_length};
use crate::error::Error;

/// Splits bytes at a delimiter of one or more bytes. The items are what is between, without the delimiters.
///
/// Behind the last frame there may be no delimiter. Two delimiters in a row have an item without bytes between them. An
/// empty delimiter never matches: the whole input is one frame.
///
/// # Limits
/// A frame of more than 64 KiB is an error; see [`max_length`](DelimiterDecoder::max_length).
#[derive(Clone, Debug)]
pub struct DelimiterDecoder {
    partial: Partial,
    delimiter: Finder<'static>,
    max_length: usize,
}

impl DelimiterDecoder {
    /// Returns a decoder of frames of at most 64 KiB.
    pub fn new(delimiter: impl AsRef<[u8]>) -> Self {
        DelimiterDecoder {
            partial: Partial::default(),
            delimiter: Finder::new(delimiter.as_ref()).into_owned(),
            max_length: MAX_FRAME,
        }
    }

    /// Sets how many bytes a frame may have, without the delimiter. Default: 64 KiB.
    #[must_use]
    pub fn max_length(self, limit: usize) -> Self {
        DelimiterDecoder {
            max_length: limit,
            ..self
        }
    }

    /// Returns where in `input` the first delimiter ends, which may have begun before.
    fn find(&self, input: &[u8]) -> Option<usize> {
        let delimiter = self.delimiter.needle();
        let before = delimiter.len().checked_sub(1)?;
        let partial = &self.partial.0;
        let straddling = before.min(partial.len());
        if straddling > 0 {
            let mut seam = partial[partial.len() - straddling..].to_vec();
            seam.extend_from_slice(&input[..before.min(input.len())]);
            if let Some(begin) = memmem::find(&seam, delimiter) {
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
                // The last bytes may be the beginning of a delimiter, which does not count.
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
        let Some(frame) = self.partial.rest() else {
            return Ok(None);
        };
        check_length(frame.len(), self.max_length)?;
        Ok(Some(frame))
    }
}
