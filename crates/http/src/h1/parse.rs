//! Heads and trailers that are whole.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::fields::Trailers;
use super::framing::Facts;
use super::invalid::Invalid;
use super::limits::Limits;
use super::lines::count_work;
use super::request_head::{Parts, Span, Version};
use super::target;
use super::text::{Set, TOKEN, end_of, end_of_text, visible_but};

const MALFORMED_LINE: Invalid = Invalid::bad("the first line of the request is malformed");
const MALFORMED_NAME: Invalid = Invalid::bad("the name of a field is malformed");
const MALFORMED_VALUE: Invalid =
    Invalid::bad("the value of a field has characters that none may have");

/// Parses a head at the beginning of `bytes` into `parts`, and tells its method and its length.
///
/// None if it is not whole or exceeds a limit: its lines tell which. They also tell what is wrong first if more than one
/// thing is.
#[inline]
pub(super) fn head(
    bytes: &[u8],
    limits: &Limits,
    parts: &mut Parts,
) -> Result<Option<(Method, usize)>, Invalid> {
    count_work(bytes.len());
    let Some((method, fields_start)) = first_line(bytes, parts)? else {
        return Ok(None);
    };
    let mut facts = Facts::default();
    let mut left = limits.fields;
    let mut at = fields_start;
    let length = loop {
        match field(bytes, at)? {
            Next::Field { name, value, end } if left > 0 => {
                facts.field(name, &bytes[value.range()], value.start as usize)?;
                left -= 1;
                at = end;
            }
            Next::End(end) => break end,
            Next::Field { .. } | Next::Incomplete => return Ok(None),
        }
    };
    if fields_start > limits.request_line + 2 || length - fields_start > limits.header_section {
        return Ok(None);
    }
    if parts.host == Span::default() {
        parts.host = facts.host;
    }
    parts.fields = fields_start as u32;
    facts.conclude(method == Method::CONNECT, parts)?;
    Ok(Some((method, length)))
}

/// Checks the first line of a head, whose other lines did not come yet. `line` has its end.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), Invalid> {
    let mut parts = Parts::NONE;
    first_line(line, &mut parts)?
        .map(|_| ())
        .ok_or(MALFORMED_LINE)
}

/// The characters of targets.
static VISIBLE: Set = visible_but(b"");

/// Parses a first line (RFC 9112, 3), and tells the method and where the next line starts; none if it is not whole.
#[inline(always)]
fn first_line(bytes: &[u8], parts: &mut Parts) -> Result<Option<(Method, usize)>, Invalid> {
    let method_end = match bytes {
        [b'G', b'E', b'T', b' ', ..] => 3,
        _ => end_of(&TOKEN, bytes, 0),
    };
    if method_end == bytes.len() {
        return Ok(None);
    }
    let start = method_end + 1;
    let end = end_of(&VISIBLE, bytes, start);
    if end == bytes.len() {
        return Ok(None);
    }
    if bytes[method_end] != b' ' || method_end == 0 || bytes[end] != b' ' || end == start {
        return Err(MALFORMED_LINE);
    }
    let Some(rest) = bytes[end + 1..].first_chunk::<10>() else {
        return if bytes.ends_with(b"\r\n") {
            Err(MALFORMED_LINE)
        } else {
            Ok(None)
        };
    };
    parts.version = match rest {
        b"HTTP/1.1\r\n" => Version::Http11,
        b"HTTP/1.0\r\n" => Version::Http10,
        other => other_version(other)?,
    };
    let method = match &bytes[..method_end] {
        b"GET" => Method::GET,
        other => Method::from_bytes(other).map_err(|_| MALFORMED_LINE)?,
    };
    parts.target = Span {
        start: start as u32,
        end: end as u32,
    };
    target::parse(&method, &bytes[start..end], start, parts)?;
    Ok(Some((method, end + 11)))
}

/// Returns the version for a text that is neither `HTTP/1.1` nor `HTTP/1.0`: a higher minor version is treated as 1.1
/// (RFC 9110, 2.5).
#[cold]
fn other_version(text: &[u8; 10]) -> Result<Version, Invalid> {
    match text {
        [
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
enum Next<'a> {
    /// A field, where its value is, and where its line ends.
    Field {
        name: &'a [u8],
        value: Span,
        end: usize,
    },
    /// The empty line, and where it ends.
    End(usize),
    Incomplete,
}

/// Parses the line of a field at a place of a section (RFC 9112, 5).
#[inline(always)]
fn field(section: &[u8], at: usize) -> Result<Next<'_>, Invalid> {
    let colon = end_of(&TOKEN, section, at);
    if section.get(colon) != Some(&b':') || colon == at {
        return match section[at..] {
            [b'\r', b'\n', ..] => Ok(Next::End(at + 2)),
            [] | [b'\r'] => Ok(Next::Incomplete),
            _ if colon == section.len() => Ok(Next::Incomplete),
            _ => Err(MALFORMED_NAME),
        };
    }
    let mut start = colon + 1;
    while let Some(b' ' | b'\t') = section.get(start) {
        start += 1;
    }
    let line_end = end_of_text(section, start);
    match section[line_end..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Ok(Next::Incomplete),
        _ => return Err(MALFORMED_VALUE),
    }
    let mut end = line_end;
    while end > start && matches!(section[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let value = Span {
        start: start as u32,
        end: end as u32,
    };
    Ok(Next::Field {
        name: &section[at..colon],
        value,
        end: line_end + 2,
    })
}

/// Checks the trailers of a body, which end with an empty line and whose lines are whole.
pub(super) fn trailers(section: Bytes) -> Result<Trailers, Invalid> {
    let refused = ["Content-Length", "Transfer-Encoding", "Host"];
    let mut at = 0;
    while let Next::Field { name, end, .. } = field(&section, at)? {
        if refused
            .iter()
            .any(|refused| name.eq_ignore_ascii_case(refused.as_bytes()))
        {
            return Err(Invalid::bad(
                "a field after the body would have belonged before it",
            ));
        }
        at = end;
    }
    Ok(Trailers::new(section))
}
