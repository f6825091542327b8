//! Bodies of requests and of responses (RFC 9112, 6).

use bytes::Bytes;
use http::StatusCode;

use super::chunked::{Chunked, Step};
use super::fields::Trailers;
use super::input::Input;
use super::invalid::Invalid;
use super::limits::Limits;
use super::lines::Lines;
use super::parse;

const TRAILERS_TOO_LARGE: Invalid = Invalid::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the fields after the body are too large",
);
const TOO_MANY_TRAILERS: Invalid = Invalid::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "there are too many fields after the body",
);

/// The rest of a body.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// So many bytes.
    Counted(u64),
    Chunked(Chunked),
    /// The fields after the last chunk.
    Trailers(Lines),
    /// All bytes until the end of the connection.
    UntilClose,
    /// Nothing.
    Over,
}

/// A part of a body.
#[derive(Debug)]
pub(super) enum BodyPart {
    /// Some of its bytes, never none.
    Data(Bytes),
    Trailers(Trailers),
    /// The end, which can be taken again.
    End,
}

impl Body {
    /// Takes the next part out of the input; `None` if more bytes are needed for one.
    pub(super) fn advance(
        &mut self,
        input: &mut Input,
        limits: &Limits,
    ) -> Result<Option<BodyPart>, Invalid> {
        loop {
            match self {
                Body::Counted(_) | Body::UntilClose if input.is_empty() => return Ok(None),
                Body::Counted(left) => {
                    let length = (*left).min(input.len() as u64);
                    *left -= length;
                    if *left == 0 {
                        *self = Body::Over;
                    }
                    return Ok(Some(BodyPart::Data(input.take(length as usize))));
                }
                Body::UntilClose => return Ok(Some(BodyPart::Data(input.take(usize::MAX)))),
                Body::Chunked(chunked) => match chunked.advance(input.as_slice(), limits)? {
                    Step::More => {
                        *input = Input::default();
                        return Ok(None);
                    }
                    Step::Data { skip, length } => {
                        input.skip(skip);
                        return Ok(Some(BodyPart::Data(input.take(length))));
                    }
                    Step::Last { skip } => {
                        *self = Body::Trailers(Lines::default());
                        input.skip(skip);
                    }
                },
                Body::Trailers(lines) => {
                    let Some(section) = trailers(lines, input, limits)? else {
                        return Ok(None);
                    };
                    *self = Body::Over;
                    if section.len() > 2 {
                        let fields = parse::trailers(section)?;
                        return Ok(Some(BodyPart::Trailers(fields)));
                    }
                }
                Body::Over => return Ok(Some(BodyPart::End)),
            }
        }
    }

    /// Returns whether nothing of the body is left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Body::Over)
    }

    /// Returns the number of bytes that are known to follow: the rest of a counted body, or of the current chunk.
    pub(super) fn announced(&self) -> u64 {
        match self {
            Body::Counted(left) => *left,
            Body::Chunked(chunked) => chunked.left(),
            _ => 0,
        }
    }
}

/// Takes the fields after a body with the empty line after them, once that has come.
fn trailers(
    lines: &mut Lines,
    input: &mut Input,
    limits: &Limits,
) -> Result<Option<Bytes>, Invalid> {
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
