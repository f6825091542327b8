//! Decoder of request and response bodies (RFC 9112, section 6).

use bytes::Bytes;
use http::StatusCode;

use super::chunked::{ChunkedOutput, ChunkedState};
use super::input::InputBuffer;
use super::limits::Limits;
use super::lines::Lines;
use super::parse;
use crate::message::fields::Trailers;
use crate::message::invalid::InvalidMessage;

const TRAILERS_TOO_LARGE: InvalidMessage = InvalidMessage::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the trailers are too large",
);
const TOO_MANY_TRAILERS: InvalidMessage = InvalidMessage::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "there are too many trailers",
);

/// The state of a body that is being decoded.
#[derive(Clone, Debug)]
pub(super) enum BodyDecoder {
    /// The number of bytes left of a `Content-Length`.
    Counted(u64),
    Chunked(ChunkedState),
    /// The trailers, after the last chunk.
    Trailers(Lines),
    /// All bytes until the end of the connection.
    UntilClose,
    /// The end of the body.
    Complete,
}

/// A part of a body.
#[derive(Debug)]
pub(super) enum BodyPart {
    /// A piece of the body, never empty.
    Data(Bytes),
    Trailers(Trailers),
    /// The end. Later calls return it again.
    End,
}

impl BodyDecoder {
    /// Decodes the next part of the input. Returns `None` if more bytes are needed.
    pub(super) fn advance(
        &mut self,
        input: &mut InputBuffer,
        limits: &Limits,
    ) -> Result<Option<BodyPart>, InvalidMessage> {
        loop {
            match self {
                BodyDecoder::Counted(_) | BodyDecoder::UntilClose if input.is_empty() => {
                    return Ok(None);
                }
                BodyDecoder::Counted(left) => {
                    let length = (*left).min(input.len() as u64);
                    *left -= length;
                    if *left == 0 {
                        *self = BodyDecoder::Complete;
                    }
                    return Ok(Some(BodyPart::Data(input.take(length as usize))));
                }
                BodyDecoder::UntilClose => return Ok(Some(BodyPart::Data(input.take(usize::MAX)))),
                BodyDecoder::Chunked(chunked) => match chunked.advance(input.as_slice(), limits)? {
                    ChunkedOutput::More => {
                        *input = InputBuffer::default();
                        return Ok(None);
                    }
                    ChunkedOutput::Data { skip, length } => {
                        input.skip(skip);
                        return Ok(Some(BodyPart::Data(input.take(length))));
                    }
                    ChunkedOutput::Last { skip } => {
                        *self = BodyDecoder::Trailers(Lines::default());
                        input.skip(skip);
                    }
                },
                BodyDecoder::Trailers(lines) => {
                    let Some(section) = trailers(lines, input, limits)? else {
                        return Ok(None);
                    };
                    *self = BodyDecoder::Complete;
                    if section.len() > 2 {
                        let fields = parse::trailers(section)?;
                        return Ok(Some(BodyPart::Trailers(fields)));
                    }
                }
                BodyDecoder::Complete => return Ok(Some(BodyPart::End)),
            }
        }
    }

    /// Returns `true` if the whole body was decoded.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, BodyDecoder::Complete)
    }

    /// Returns the number of bytes that are known to follow: the rest of a `Content-Length`, or of the current chunk.
    pub(super) fn announced(&self) -> u64 {
        match self {
            BodyDecoder::Counted(left) => *left,
            BodyDecoder::Chunked(chunked) => chunked.left(),
            _ => 0,
        }
    }
}

/// Takes the trailers with the empty line after them, or returns `None` if the section is incomplete.
fn trailers(
    lines: &mut Lines,
    input: &mut InputBuffer,
    limits: &Limits,
) -> Result<Option<Bytes>, InvalidMessage> {
    loop {
        let next = lines.next(input.as_slice(), limits.trailer_section, TRAILERS_TOO_LARGE)?;
        let Some(line) = next else {
            input.keep();
            return Ok(None);
        };
        if line.is_empty() {
            return Ok(Some(input.take(line.end + 2)));
        }
        if lines.count() > limits.fields {
            return Err(TOO_MANY_TRAILERS);
        }
    }
}
