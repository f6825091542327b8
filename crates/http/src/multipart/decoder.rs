//! The syntax of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): bytes in, parts out.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::head::{self, PartHead};
use super::limits::MultipartLimits;
use crate::MultipartError;

/// Takes the bytes of a body apart.
#[derive(Debug)]
pub(super) struct Decoder {
    /// What every part ends with: a line break, two hyphens, the boundary.
    delimiter: Box<[u8]>,
    /// What has come and is not taken apart yet: less than a delimiter in front of what was just pushed, or the
    /// begin of a part's head.
    buffer: BytesMut,
    state: State,
    limits: MultipartLimits,
    parts: usize,
    /// The bytes of this part so far, and how many there may be.
    taken: u64,
    allowed: u64,
    /// All bytes that have come.
    total: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In front of the first delimiter; what is there is to be ignored.
    Preamble,
    /// Behind a delimiter.
    Delimiter,
    Head,
    Data,
    /// Behind the last delimiter; what is there is to be ignored.
    Over,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Head(PartHead),
    /// Bytes of the part, never none.
    Data(Bytes),
    PartEnd,
}

/// White space behind a boundary, which some old mail gateways add.
const MAX_PADDING: usize = 128;

impl Decoder {
    pub(super) fn new(boundary: &str, limits: MultipartLimits) -> Decoder {
        // The first delimiter may be at the very begin: then it has no line break of its own.
        Decoder {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat().into(),
            buffer: BytesMut::from("\r\n"),
            state: State::Preamble,
            limits,
            parts: 0,
            taken: 0,
            allowed: 0,
            total: 0,
        }
    }

    /// Adds bytes that have come.
    ///
    /// # Errors
    /// [`MultipartError::TooLong`] when they are more in all than the limit.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), MultipartError> {
        self.total = self.total.saturating_add(bytes.len() as u64);
        if self.total > self.limits.total {
            let limit = self.limits.total;
            return Err(MultipartError::TooLong { limit });
        }
        if self.state != State::Over {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Whether the last delimiter has come.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What comes next; `None` when more bytes are needed, or when it is over.
    ///
    /// # Errors
    /// What is malformed, or over a limit; then nothing more is to be asked for.
    pub(super) fn next(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => {
                    let Some(start) = self.find_delimiter() else {
                        let keep = self.delimiter.len().min(self.buffer.len());
                        drop(self.buffer.split_to(self.buffer.len() - keep));
                        return Ok(None);
                    };
                    drop(self.buffer.split_to(start + self.delimiter.len()));
                    self.state = State::Delimiter;
                }
                State::Delimiter => match self.after_delimiter()? {
                    Some(state) => self.state = state,
                    None => return Ok(None),
                },
                State::Head => return self.head(),
                State::Data => return self.data(),
                State::Over => {
                    self.buffer = BytesMut::new();
                    return Ok(None);
                }
            }
        }
    }

    fn find_delimiter(&self) -> Option<usize> {
        memmem::find(&self.buffer, &self.delimiter)
    }

    /// What the rest of a delimiter's line means.
    fn after_delimiter(&mut self) -> Result<Option<State>, MultipartError> {
        if self.buffer.starts_with(b"--") {
            return Ok(Some(State::Over));
        }
        let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let padding = self.buffer.iter().take_while(|byte| blank(byte)).count();
        let rest = &self.buffer[padding..];
        if rest.starts_with(b"\r\n") && padding <= MAX_PADDING {
            // The line break stays: a head without fields is one line break behind it.
            drop(self.buffer.split_to(padding));
            return Ok(Some(State::Head));
        }
        let unfinished = b"\r\n".starts_with(rest) || (padding == 0 && b"--".starts_with(rest));
        match unfinished && padding <= MAX_PADDING {
            true => Ok(None),
            false => Err(MultipartError::malformed("something follows a boundary")),
        }
    }

    fn head(&mut self) -> Result<Option<Event>, MultipartError> {
        const END: &[u8] = b"\r\n\r\n";
        let limit = self.limits.head;
        // The line break in front belongs to the delimiter.
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
        self.taken = 0;
        self.allowed = match head.file_name() {
            Some(_) => self.limits.file,
            None => self.limits.field,
        };
        self.state = State::Data;
        // An empty part: the line break behind the head is that of the delimiter, too, and not taken from it.
        Ok(Some(Event::Head(head)))
    }

    fn data(&mut self) -> Result<Option<Event>, MultipartError> {
        let end = match self.find_delimiter() {
            Some(0) => {
                drop(self.buffer.split_to(self.delimiter.len()));
                self.state = State::Delimiter;
                return Ok(Some(Event::PartEnd));
            }
            Some(end) => end,
            None => self.certain(),
        };
        if end == 0 {
            return Ok(None);
        }
        self.taken += end as u64;
        if self.taken > self.allowed {
            let limit = self.allowed;
            return Err(MultipartError::PartTooLong { limit });
        }
        Ok(Some(Event::Data(self.buffer.split_to(end).freeze())))
    }

    /// How many bytes cannot be the begin of a delimiter.
    fn certain(&self) -> usize {
        let tail = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
        let doubtful = (tail..self.buffer.len())
            .find(|index| self.delimiter.starts_with(&self.buffer[*index..]));
        doubtful.unwrap_or(self.buffer.len())
    }
}

#[cfg(test)]
mod tests;
