//! Sans-IO decoder of `multipart/form-data` (RFC 7578; RFC 2046, section 5.1): bytes in, events out.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::head::{self, PartHead};
use super::limits::MultipartLimits;
use crate::MultipartError;

/// A decoder of a multipart body.
#[derive(Debug)]
pub(super) struct MultipartDecoder {
    /// The delimiter after each part: a line break, two hyphens and the boundary.
    delimiter: Box<[u8]>,
    /// Received bytes that are not decoded yet: the last push, preceded by less than a delimiter or by the start of a head.
    buffer: BytesMut,
    state: DecoderState,
    limits: MultipartLimits,
    parts: usize,
    /// Number of bytes of the current part so far.
    part_length: u64,
    /// Maximum size of the current part, in bytes.
    part_limit: u64,
    /// Number of bytes received.
    total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecoderState {
    /// Before the first delimiter. The bytes are ignored.
    Preamble,
    /// After a delimiter.
    Delimiter,
    Head,
    Data,
    /// After the last delimiter. The bytes are ignored.
    Over,
}

/// A decoded element of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MultipartEvent {
    Head(PartHead),
    /// Bytes of the part; never empty.
    Data(Bytes),
    PartEnd,
}

/// Maximum length of the white space after a boundary, which some old mail gateways add.
const MAX_PADDING: usize = 128;

impl MultipartDecoder {
    pub(super) fn new(boundary: &str, limits: MultipartLimits) -> MultipartDecoder {
        // The first delimiter may be at the start of the body, without a line break before it.
        MultipartDecoder {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat().into(),
            buffer: BytesMut::from("\r\n"),
            state: DecoderState::Preamble,
            limits,
            parts: 0,
            part_length: 0,
            part_limit: 0,
            total: 0,
        }
    }

    /// Adds received bytes.
    ///
    /// # Errors
    /// [`MultipartError::TooLong`] if the body exceeds the limit.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), MultipartError> {
        self.total = self.total.saturating_add(bytes.len() as u64);
        if self.total > self.limits.total {
            let limit = self.limits.total;
            return Err(MultipartError::TooLong { limit });
        }
        if self.state != DecoderState::Over {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Returns whether the last delimiter was read.
    pub(super) fn is_over(&self) -> bool {
        self.state == DecoderState::Over
    }

    /// Returns the next event; `None` if more bytes are needed or the body has ended.
    ///
    /// # Errors
    /// If the body is malformed or exceeds a limit. The decoder must not be used afterwards.
    pub(super) fn next(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        loop {
            match self.state {
                DecoderState::Preamble => {
                    let Some(start) = self.find_delimiter() else {
                        let keep = self.delimiter.len().min(self.buffer.len());
                        drop(self.buffer.split_to(self.buffer.len() - keep));
                        return Ok(None);
                    };
                    drop(self.buffer.split_to(start + self.delimiter.len()));
                    self.state = DecoderState::Delimiter;
                }
                DecoderState::Delimiter => match self.after_delimiter()? {
                    Some(state) => self.state = state,
                    None => return Ok(None),
                },
                DecoderState::Head => return self.head(),
                DecoderState::Data => return self.data(),
                DecoderState::Over => {
                    self.buffer = BytesMut::new();
                    return Ok(None);
                }
            }
        }
    }

    fn find_delimiter(&self) -> Option<usize> {
        memmem::find(&self.buffer, &self.delimiter)
    }

    /// Returns the state after the line of a delimiter; `None` if more bytes are needed.
    fn after_delimiter(&mut self) -> Result<Option<DecoderState>, MultipartError> {
        if self.buffer.starts_with(b"--") {
            return Ok(Some(DecoderState::Over));
        }
        let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let padding = self.buffer.iter().take_while(|byte| blank(byte)).count();
        let rest = &self.buffer[padding..];
        if rest.starts_with(b"\r\n") && padding <= MAX_PADDING {
            // The line break stays in the buffer, so that a head without headers also ends with an empty line.
            drop(self.buffer.split_to(padding));
            return Ok(Some(DecoderState::Head));
        }
        let unfinished = b"\r\n".starts_with(rest) || (padding == 0 && b"--".starts_with(rest));
        match unfinished && padding <= MAX_PADDING {
            true => Ok(None),
            false => Err(MultipartError::malformed(
                "a boundary is followed by unexpected bytes",
            )),
        }
    }

    fn head(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        const END: &[u8] = b"\r\n\r\n";
        let limit = self.limits.head;
        // The line break before the head belongs to the delimiter.
        let room = limit.saturating_add(2 + END.len());
        let window = self.buffer.len().min(room);
        let Some(end) = memmem::find(&self.buffer[..window], END) else {
            return match window == room {
                true => Err(MultipartError::HeadTooLong { limit }),
                false => Ok(None),
            };
        };
        if self.parts >= self.limits.parts {
            let limit = self.limits.parts;
            return Err(MultipartError::TooManyParts { limit });
        }
        self.parts += 1;
        let bytes = self.buffer.split_to(end + END.len());
        let head = head::parse(&bytes[2..])?;
        self.part_length = 0;
        self.part_limit = match head.file_name() {
            Some(_) => self.limits.file,
            None => self.limits.field,
        };
        self.state = DecoderState::Data;
        Ok(Some(MultipartEvent::Head(head)))
    }

    fn data(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        let end = match self.find_delimiter() {
            Some(0) => {
                drop(self.buffer.split_to(self.delimiter.len()));
                self.state = DecoderState::Delimiter;
                return Ok(Some(MultipartEvent::PartEnd));
            }
            Some(end) => end,
            None => self.data_length(),
        };
        if end == 0 {
            return Ok(None);
        }
        self.part_length += end as u64;
        if self.part_length > self.part_limit {
            let limit = self.part_limit;
            return Err(MultipartError::PartTooLong { limit });
        }
        Ok(Some(MultipartEvent::Data(
            self.buffer.split_to(end).freeze(),
        )))
    }

    /// Returns the number of buffered bytes that cannot belong to a delimiter.
    fn data_length(&self) -> usize {
        let tail = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        let delimiter_start = (tail..self.buffer.len())
            .find(|index| self.delimiter.starts_with(&self.buffer[*index..]));
        delimiter_start.unwrap_or(self.buffer.len())
    }
}

#[cfg(test)]
mod tests;
