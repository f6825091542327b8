//! Parser of complete heads and trailers.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::framing::RequestFraming;
use super::limits::Limits;
use super::lines::count_work;
use crate::message::block::Block;
use crate::message::fields::Trailers;
use crate::message::invalid::InvalidMessage;
use crate::message::request_head::{HeadParts, RequestHead, Span, Version};
use crate::message::target;
use crate::message::text::{TOKEN, end_of, end_of_long, end_of_text};
use crate::message::{FORBIDDEN_TRAILER, is_forbidden_in_trailers};

const MALFORMED_LINE: InvalidMessage = InvalidMessage::bad("the request line is malformed");
const MALFORMED_NAME: InvalidMessage = InvalidMessage::bad("a header name is malformed");
const MALFORMED_VALUE: InvalidMessage =
    InvalidMessage::bad("a header value has characters that are not allowed there");

impl RequestHead {
    /// Parses the head at the start of `bytes` into `self`, reusing the memory of the previous head, and returns its length. Returns
    /// `None` if the head is incomplete or invalid; [`Decoder`](super::Decoder) then distinguishes the two.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Option<usize> {
        self.try_read(bytes, limits).ok()?
    }

    /// Same as [`read`](RequestHead::read), but returns the error.
    #[inline(always)]
    pub(super) fn try_read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, InvalidMessage> {
        let length = head(bytes, limits, &mut self.method, &mut self.parts)?;
        if let Some(whole) = length.and_then(|length| bytes.get(..length)) {
            self.bytes.clear();
            self.bytes.extend_from_slice(whole);
        }
        Ok(length)
    }
}

/// Parses the head at the start of `bytes` into `method` and `parts`, and returns its length.
///
/// Returns `None` if the head is incomplete or exceeds a limit. Parsing it line by line then distinguishes the two, and finds the first
/// of several errors.
#[inline]
pub(super) fn head(
    bytes: &[u8],
    limits: &Limits,
    method: &mut Method,
    parts: &mut HeadParts,
) -> Result<Option<usize>, InvalidMessage> {
    count_work(bytes.len());
    let Some(fields_start) = first_line(bytes, method, parts)? else {
        return Ok(None);
    };
    let mut framing = RequestFraming::default();
    let mut left = limits.fields;
    let Some(mut rest) = bytes.get(fields_start..) else {
        return Ok(None);
    };
    let length = loop {
        let at = bytes.len() - rest.len();
        match field(rest)? {
            ParsedLine::Field { colon, end } if left > 0 => {
                framing.field(rest, at, colon, end)?;
                left -= 1;
                let Some(next) = rest.get(end + 2..) else {
                    return Ok(None);
                };
                rest = next;
            }
            ParsedLine::End => break at + 2,
            ParsedLine::Field { .. } | ParsedLine::Incomplete => return Ok(None),
        }
    };
    if fields_start > limits.request_line + 2 || length - fields_start > limits.header_section {
        return Ok(None);
    }
    parts.fields = fields_start as u32;
    framing.validate(parts)?;
    Ok(Some(length))
}

/// Checks the first line of a head before the other lines are received. `line` includes its line ending.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), InvalidMessage> {
    let (mut method, mut parts) = (Method::GET, HeadParts::NONE);
    first_line(line, &mut method, &mut parts)?
        .map(|_| ())
        .ok_or(MALFORMED_LINE)
}

/// Parses a first line (RFC 9112, section 3), and returns the start of the next line; `None` if the line is incomplete.
#[inline(always)]
fn first_line(
    bytes: &[u8],
    method: &mut Method,
    parts: &mut HeadParts,
) -> Result<Option<usize>, InvalidMessage> {
    *parts = HeadParts::NONE;
    if !bytes.starts_with(b"GET /") {
        return other_first_line(bytes, method, parts);
    }
    *method = Method::GET;
    let end = target::path(bytes, 4, parts);
    parts.target = Span::new(4, end);
    let next = version(bytes, end, parts)?;
    if next.is_some() {
        target::check_query(bytes, parts)?;
    }
    Ok(next)
}

/// Parses a first line whose method is not `GET`, or whose target does not start with a path.
#[inline(never)]
fn other_first_line(
    bytes: &[u8],
    method: &mut Method,
    parts: &mut HeadParts,
) -> Result<Option<usize>, InvalidMessage> {
    let method_end = end_of(&TOKEN, bytes, 0);
    let start = method_end + 1;
    let end = target::end_of_visible(bytes, start);
    if end >= bytes.len() {
        return Ok(None);
    }
    if bytes[method_end] != b' ' || method_end == 0 || end == start {
        return Err(MALFORMED_LINE);
    }
    let Some(next) = version(bytes, end, parts)? else {
        return Ok(None);
    };
    *method = Method::from_bytes(&bytes[..method_end]).map_err(|_| MALFORMED_LINE)?;
    parts.target = Span::new(start, end);
    if bytes[start] == b'/' && *method != Method::CONNECT {
        target::path(bytes, start, parts);
    } else {
        target::non_path(method, bytes, start, end, parts)?;
    }
    target::check_query(bytes, parts)?;
    Ok(Some(next))
}

/// Parses the version after a target, and returns the start of the next line; `None` if the line is incomplete.
#[inline(always)]
fn version(
    bytes: &[u8],
    at: usize,
    parts: &mut HeadParts,
) -> Result<Option<usize>, InvalidMessage> {
    let text = bytes.get(at..).and_then(<[u8]>::first_chunk);
    if text != Some(b" HTTP/1.1\r\n") {
        let Some(text) = text else {
            return incomplete_or_malformed(bytes, at);
        };
        parts.version = other_version(text)?;
    }
    Ok(Some(at + 11))
}

/// Distinguishes an incomplete line from a malformed one.
#[cold]
fn incomplete_or_malformed(bytes: &[u8], at: usize) -> Result<Option<usize>, InvalidMessage> {
    match bytes.get(at) {
        Some(byte) if *byte != b' ' || bytes.ends_with(b"\r\n") => Err(MALFORMED_LINE),
        _ => Ok(None),
    }
}

/// Parses a version other than `HTTP/1.1`. A higher minor version is treated as 1.1 (RFC 9110, section 2.5).
#[cold]
fn other_version(text: &[u8; 11]) -> Result<Version, InvalidMessage> {
    match text {
        [
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            major,
            b'.',
            minor,
            b'\r',
            b'\n',
        ] if major.is_ascii_digit() && minor.is_ascii_digit() => match major {
            b'1' if *minor == b'0' => Ok(Version::Http10),
            b'1' => Ok(Version::Http11),
            _ => Err(InvalidMessage::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "the HTTP version is not supported",
            )),
        },
        _ => Err(MALFORMED_LINE),
    }
}

/// The next line of a header section.
enum ParsedLine {
    /// The end of the name, and the end of the line without CR LF.
    Field {
        colon: usize,
        end: usize,
    },
    /// The empty line.
    End,
    Incomplete,
}

/// Parses the field line at the start of a section (RFC 9112, section 5).
///
/// A name of letters and hyphens costs one block; the value costs the blocks that it occupies.
#[inline(always)]
fn field(section: &[u8]) -> Result<ParsedLine, InvalidMessage> {
    let Some(block) = Block::at(section, 0) else {
        return match section {
            b"\r\n" => Ok(ParsedLine::End),
            _ => field_by_bytes(section),
        };
    };
    let colon = block.non_plain_name().trailing_zeros() as usize;
    match block.byte(colon) {
        b':' if colon > 0 => value(section, colon),
        b'\r' if colon == 0 && block.byte(1) == b'\n' => Ok(ParsedLine::End),
        _ => field_by_bytes(section),
    }
}

/// Parses the value of the line at the start of the section.
#[inline(always)]
fn value(section: &[u8], colon: usize) -> Result<ParsedLine, InvalidMessage> {
    let Some(mut left) = section.get(colon + 1..) else {
        return Ok(ParsedLine::Incomplete);
    };
    while let Some((block, rest)) = Block::split(left) {
        let controls = block.controls();
        if controls != 0 {
            let place = controls.trailing_zeros() as usize;
            if block.byte(place) == b'\r' && left.get(place + 1) == Some(&b'\n') {
                let end = section.len() - left.len() + place;
                return Ok(ParsedLine::Field { colon, end });
            }
            break;
        }
        left = rest;
    }
    end_of_field(section, colon, section.len() - left.len())
}

/// Parses a field line whose name is longer than a block or has characters other than letters and hyphens, or which is near the end of
/// the received bytes. Also parses the empty line there.
#[inline(never)]
fn field_by_bytes(section: &[u8]) -> Result<ParsedLine, InvalidMessage> {
    let colon = end_of_long(&TOKEN, Block::non_plain_name, section, 0);
    let colon = end_of(&TOKEN, section, colon);
    match section.get(colon) {
        Some(b':') if colon > 0 => value(section, colon),
        _ => end_or_malformed(section, colon),
    }
}

/// Parses the rest of a field that has tabs or is near the end of the received bytes. The text is valid up to `at`.
#[inline(never)]
fn end_of_field(section: &[u8], colon: usize, at: usize) -> Result<ParsedLine, InvalidMessage> {
    let end = end_of_text(section, at);
    match section.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(ParsedLine::Field { colon, end }),
        [] | [b'\r'] => Ok(ParsedLine::Incomplete),
        _ => Err(MALFORMED_VALUE),
    }
}

/// Parses a line that has no name and colon: `end` is the end of the characters that a name may have.
fn end_or_malformed(section: &[u8], end: usize) -> Result<ParsedLine, InvalidMessage> {
    match section {
        [b'\r', b'\n', ..] => Ok(ParsedLine::End),
        [] | [b'\r'] => Ok(ParsedLine::Incomplete),
        _ if end == section.len() => Ok(ParsedLine::Incomplete),
        _ => Err(MALFORMED_NAME),
    }
}

/// Parses the fields of a complete section, and calls `record` for each with the rest of the section, the end of its name and the end of
/// its line.
pub(super) fn fields(
    section: &[u8],
    mut record: impl FnMut(&[u8], usize, usize) -> Result<(), InvalidMessage>,
) -> Result<(), InvalidMessage> {
    let mut rest = section;
    while let ParsedLine::Field { colon, end } = field(rest)? {
        record(rest, colon, end)?;
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    Ok(())
}

/// Checks the fields at the start of a section that may be incomplete.
pub(super) fn check_fields(section: &[u8]) -> Result<(), InvalidMessage> {
    fields(section, |_, _, _| Ok(()))
}

/// Checks the trailers of a body. The section is complete and ends with an empty line.
pub(super) fn trailers(section: Bytes) -> Result<Trailers, InvalidMessage> {
    fields(&section, |line, colon, _| {
        let name = line.get(..colon).unwrap_or_default();
        match is_forbidden_in_trailers(name) {
            true => Err(FORBIDDEN_TRAILER),
            false => Ok(()),
        }
    })?;
    Ok(Trailers::new(section))
}
