//! Lines.

use bytes::Bytes;
use memchr::memchr;

use super::{Decoder, MAX_FRAME, PartialFrame, check_length};
use crate::error::Error;

/// A decoder that splits bytes into lines, which end with `\n` or `\r\n`. The items are the lines without their line ending.
///
/// The `\n` after the last line is optional. An empty line is an empty item.
///
/// # Limits
/// A line of more than 64 KiB is an error; see [`max_length`](LineDecoder::max_length).
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use uptick_stream::decode::{Decoder, LineDecoder};
///
/// let mut lines = LineDecoder::new();
/// let mut input = Bytes::from("one\r\ntw");
/// assert_eq!(lines.decode(&mut input)?.as_deref(), Some(&b"one"[..]));
/// assert_eq!(lines.decode(&mut input)?, None);
/// let mut input = Bytes::from("o\n");
/// assert_eq!(lines.decode(&mut input)?.as_deref(), Some(&b"two"[..]));
/// # Ok::<(), uptick_stream::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LineDecoder {
    partial: PartialFrame,
    max_length: usize,
    keep_carriage_return: bool,
}

impl LineDecoder {
    /// Creates a decoder of lines of at most 64 KiB.
    pub fn new() -> Self {
        LineDecoder {
            partial: PartialFrame::default(),
            max_length: MAX_FRAME,
            keep_carriage_return: false,
        }
    }

    /// Sets the maximum length of a line in bytes, without its line ending. Default: 64 KiB.
    #[must_use]
    pub fn max_length(self, limit: usize) -> Self {
        LineDecoder {
            max_length: limit,
            ..self
        }
    }

    /// Sets whether a `\r` before the `\n` is part of the line. Default: false.
    #[must_use]
    pub fn keep_carriage_return(self, keep: bool) -> Self {
        LineDecoder {
            keep_carriage_return: keep,
            ..self
        }
    }

    fn finish_line(&self, mut line: Bytes) -> Result<Option<Bytes>, Error> {
        if !self.keep_carriage_return && line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        check_length(line.len(), self.max_length)?;
        Ok(Some(line))
    }
}

impl Default for LineDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for LineDecoder {
    type Item = Bytes;

    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Error> {
        match memchr(b'\n', input) {
            Some(end) => {
                let mut line = self.partial.complete(input, end + 1);
                line.truncate(line.len() - 1);
                self.finish_line(line)
            }
            None => {
                // The last byte may be a `\r`, which does not count towards the limit.
                let uncounted = usize::from(!self.keep_carriage_return);
                let length = self.partial.0.len() + input.len();
                check_length(length.saturating_sub(uncounted), self.max_length)?;
                self.partial.keep(input);
                Ok(None)
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(line) = self.partial.take_rest() else {
            return Ok(None);
        };
        check_length(line.len(), self.max_length)?;
        Ok(Some(line))
    }
}
