//! Lines of JSON.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Decoder, LineDecoder};
use crate::error::Error;

/// A decoder of newline-delimited JSON (NDJSON, JSON Lines): one value on each line. Lines of white space are skipped.
///
/// # Limits
/// A line of more than 64 KiB is an error; see [`max_length`](JsonDecoder::max_length). `serde_json` limits the depth of a
/// value to 128.
pub struct JsonDecoder<T> {
    lines: LineDecoder,
    marker: PhantomData<fn() -> T>,
}

impl<T> JsonDecoder<T> {
    /// Creates a decoder of lines of at most 64 KiB.
    pub fn new() -> Self {
        JsonDecoder {
            lines: LineDecoder::new(),
            marker: PhantomData,
        }
    }

    /// Sets the maximum length of a line in bytes, without its line ending. Default: 64 KiB.
    #[must_use]
    pub fn max_length(self, limit: usize) -> Self {
        JsonDecoder {
            lines: self.lines.max_length(limit),
            ..self
        }
    }
}

impl<T> Default for JsonDecoder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for JsonDecoder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonDecoder")
            .field("lines", &self.lines)
            .finish()
    }
}

/// Parses a line; returns `None` for white space.
fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<Option<T>, Error> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(line)
        .map(Some)
        .map_err(Error::decode)
}

impl<T: DeserializeOwned + Clone + 'static> Decoder for JsonDecoder<T> {
    type Item = T;

    fn decode(&mut self, input: &mut Bytes) -> Result<Option<T>, Error> {
        while let Some(line) = self.lines.decode(input)? {
            if let Some(value) = parse(&line)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn finish(&mut self) -> Result<Option<T>, Error> {
        match self.lines.finish()? {
            Some(line) => parse(&line),
            None => Ok(None),
        }
    }
}
