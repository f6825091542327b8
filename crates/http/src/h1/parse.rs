//! Heads and trailers that are whole.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::block::Block;
use super::fields::Trailers;
use super::framing::Facts;
use super::invalid::Invalid;
use super::limits::Limits;
use super::lines::count_work;
use super::request_head::{Parts, RequestHead, Span, Version};
use super::target;
use super::text::{TOKEN, end_of, end_of_long, end_of_text};

const MALFORMED_LINE: Invalid = Invalid::bad("the first line of the request is malformed");
const MALFORMED_NAME: Invalid = Invalid::bad("the name of a field is malformed");
const MALFORMED_VALUE: Invalid =
    Invalid::bad("the value of a field has characters that none may have");

impl RequestHead {
    /// Reads the head at the beginning of `bytes` in the place of the one before, whose memory it uses; returns its length, or
    /// `None` when the head is not whole or not valid, which [`Decoder`](super::Decoder) tells apart.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Option<usize> {
        self.try_read(bytes, limits).ok()?
    }

    /// [`read`](RequestHead::read), with what is wrong.
    #[inline(always)]
    pub(super) fn try_read(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, Invalid> {
        let length = head(bytes, limits, &mut self.method, &mut self.parts)?;
        if let Some(whole) = length.and_then(|length| bytes.get(..length)) {
            self.bytes.clear();
            self.bytes.extend_from_slice(whole);
        }
        Ok(length)
    }
}

/// Parses a head at the beginning of `bytes` into `method` and `parts`, and returns its length.
///
/// `None` if it is not whole or exceeds a limit: its lines show which of the two. They also show what is wrong first when more than
/// one thing is.
#[inline]
pub(super) fn head(
    bytes: &[u8],
    limits: &Limits,
    method: &mut Method,
    parts: &mut Parts,
) -> Result<Option<usize>, Invalid> {
    count_work(bytes.len());
    let Some(fields_start) = first_line(bytes, method, parts)? else {
        return Ok(None);
    };
    let mut facts = Facts::default();
    let mut left = limits.fields;
    let Some(mut rest) = bytes.get(fields_start..) else {
        return Ok(None);
    };
    let length = loop {
        let at = bytes.len() - rest.len();
        match field(rest)? {
            Next::Field { colon, end } if left > 0 => {
                facts.field(rest, at, colon, end)?;
                left -= 1;
                let Some(next) = rest.get(end + 2..) else {
                    return Ok(None);
                };
                rest = next;
            }
            Next::End => break at + 2,
            Next::Field { .. } | Next::Incomplete => return Ok(None),
        }
    };
    if fields_start > limits.request_line + 2 || length - fields_start > limits.header_section {
        return Ok(None);
    }
    parts.fields = fields_start as u32;
    facts.conclude(parts)?;
    Ok(Some(length))
}

/// Checks the first line of a head, whose other lines did not come yet. `line` has its end.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), Invalid> {
    let (mut method, mut parts) = (Method::GET, Parts::NONE);
    first_line(line, &mut method, &mut parts)?
        .map(|_| ())
        .ok_or(MALFORMED_LINE)
}

/// Parses a first line (RFC 9112, 3), and returns where the next line starts; `None` if it is not whole.
#[inline(always)]
fn first_line(
    bytes: &[u8],
    method: &mut Method,
    parts: &mut Parts,
) -> Result<Option<usize>, Invalid> {
    *parts = Parts::NONE;
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

/// Parses a first line with another method than `GET`, or with a target that does not begin with a path.
#[inline(never)]
fn other_first_line(
    bytes: &[u8],
    method: &mut Method,
    parts: &mut Parts,
) -> Result<Option<usize>, Invalid> {
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
        target::other(method, bytes, start, end, parts)?;
    }
    target::check_query(bytes, parts)?;
    Ok(Some(next))
}

/// Parses the version behind a target, and returns where the next line starts; `None` if the line is not whole.
#[inline(always)]
fn version(bytes: &[u8], at: usize, parts: &mut Parts) -> Result<Option<usize>, Invalid> {
    let text = bytes.get(at..).and_then(<[u8]>::first_chunk);
    if text != Some(b" HTTP/1.1\r\n") {
        let Some(text) = text else {
            return no_version(bytes, at);
        };
        parts.version = other_version(text)?;
    }
    Ok(Some(at + 11))
}

/// Distinguishes a line that is not whole from a malformed one.
#[cold]
fn no_version(bytes: &[u8], at: usize) -> Result<Option<usize>, Invalid> {
    match bytes.get(at) {
        Some(byte) if *byte != b' ' || bytes.ends_with(b"\r\n") => Err(MALFORMED_LINE),
        _ => Ok(None),
    }
}

/// Returns the version for a text that is not `HTTP/1.1`: a higher minor version is treated as 1.1 (RFC 9110, 2.5).
#[cold]
fn other_version(text: &[u8; 11]) -> Result<Version, Invalid> {
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
            _ => Err(Invalid::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "the version of HTTP is not supported",
            )),
        },
        _ => Err(MALFORMED_LINE),
    }
}

/// What comes next in a section of fields.
enum Next {
    /// A field, where its name ends, and where its line ends, without CR LF.
    Field {
        colon: usize,
        end: usize,
    },
    /// The empty line.
    End,
    Incomplete,
}

/// Parses the line of a field at the beginning of a section (RFC 9112, 5).
///
/// Cost of one with a name of letters and hyphens: a block for the name, and those of the value.
#[inline(always)]
fn field(section: &[u8]) -> Result<Next, Invalid> {
    let Some(block) = Block::at(section, 0) else {
        return match section {
            b"\r\n" => Ok(Next::End),
            _ => field_by_bytes(section),
        };
    };
    let colon = block.no_plain_name().trailing_zeros() as usize;
    match block.byte(colon) {
        b':' if colon > 0 => value(section, colon),
        b'\r' if colon == 0 && block.byte(1) == b'\n' => Ok(Next::End),
        _ => field_by_bytes(section),
    }
}

/// Parses a value, whose line begins the section.
#[inline(always)]
fn value(section: &[u8], colon: usize) -> Result<Next, Invalid> {
    let Some(mut left) = section.get(colon + 1..) else {
        return Ok(Next::Incomplete);
    };
    while let Some((block, rest)) = Block::split(left) {
        let controls = block.controls();
        if controls != 0 {
            let place = controls.trailing_zeros() as usize;
            if block.byte(place) == b'\r' && left.get(place + 1) == Some(&b'\n') {
                let end = section.len() - left.len() + place;
                return Ok(Next::Field { colon, end });
            }
            break;
        }
        left = rest;
    }
    end_of_field(section, colon, section.len() - left.len())
}

/// Parses the line of a field whose name is longer than a block, has other characters than letters and hyphens, or is near the end of
/// the received bytes; or the empty line there.
#[inline(never)]
fn field_by_bytes(section: &[u8]) -> Result<Next, Invalid> {
    let colon = end_of_long(&TOKEN, Block::no_plain_name, section, 0);
    let colon = end_of(&TOKEN, section, colon);
    match section.get(colon) {
        Some(b':') if colon > 0 => value(section, colon),
        _ => no_field(section, colon),
    }
}

/// Parses the rest of a field with tabs or near the end of the received bytes: there is text up to `at`.
#[inline(never)]
fn end_of_field(section: &[u8], colon: usize, at: usize) -> Result<Next, Invalid> {
    let end = end_of_text(section, at);
    match section.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(Next::Field { colon, end }),
        [] | [b'\r'] => Ok(Next::Incomplete),
        _ => Err(MALFORMED_VALUE),
    }
}

/// Returns what comes next in place of a field: `end` is the end of what could be its name.
fn no_field(section: &[u8], end: usize) -> Result<Next, Invalid> {
    match section {
        [b'\r', b'\n', ..] => Ok(Next::End),
        [] | [b'\r'] => Ok(Next::Incomplete),
        _ if end == section.len() => Ok(Next::Incomplete),
        _ => Err(MALFORMED_NAME),
    }
}

/// Parses the fields of a section that is whole, and passes each to `note`: what begins with its line, and where its name and its line
/// end.
pub(super) fn fields(
    section: &[u8],
    mut note: impl FnMut(&[u8], usize, usize) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    let mut rest = section;
    while let Next::Field { colon, end } = field(rest)? {
        note(rest, colon, end)?;
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    Ok(())
}

/// Checks the trailers of a body, which end with an empty line and whose lines are whole.
pub(super) fn trailers(section: Bytes) -> Result<Trailers, Invalid> {
    let refused = ["Content-Length", "Transfer-Encoding", "Host"];
    fields(&section, |line, colon, _| {
        let name = line.get(..colon).unwrap_or_default();
        let is_refused = |refused: &&str| name.eq_ignore_ascii_case(refused.as_bytes());
        match refused.iter().any(is_refused) {
            true => Err(Invalid::bad(
                "a field after the body would have belonged before it",
            )),
            false => Ok(()),
        }
    })?;
    Ok(Trailers::new(section))
}
