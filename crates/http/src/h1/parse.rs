//! Heads and trailers that are whole.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::fields::Trailers;
use super::framing::Facts;
use super::invalid::Invalid;
use super::limits::Limits;
use super::lines::count_work;
use super::request_head::{RequestHead, Span, Version};
use super::target::{self, Target};
use super::text::{Set, TOKEN, end_of, end_of_text, visible_but};

const MALFORMED_LINE: Invalid = Invalid::bad("the first line of the request is malformed");
const MALFORMED_NAME: Invalid = Invalid::bad("the name of a field is malformed");
const MALFORMED_VALUE: Invalid =
    Invalid::bad("the value of a field has characters that none may have");

/// Parses a head at the beginning of `bytes`, and tells its length. The head still lacks its bytes.
///
/// None if it is not whole or exceeds a limit: its lines tell which. They also tell what is wrong first if more than one
/// thing is.
pub(super) fn head(bytes: &[u8], limits: &Limits) -> Result<Option<(RequestHead, usize)>, Invalid> {
    count_work(bytes.len());
    let Some(FirstLine {
        method,
        target_span,
        target,
        version,
        length: fields_start,
    }) = first_line(bytes)?
    else {
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
    let host = if target.authority == Span::default() {
        facts.host
    } else {
        target.authority
    };
    let framing = facts.conclude(version, method == Method::CONNECT)?;
    let head = RequestHead {
        bytes: Bytes::new(),
        method,
        body: framing.body,
        target: target_span,
        path: target.path,
        query: target.query,
        host,
        fields: fields_start as u32,
        version,
        form: target.form,
        keep_alive: framing.keep_alive,
        expects_continue: framing.expects_continue,
        upgrade: framing.upgrade,
    };
    Ok(Some((head, length)))
}

/// Checks the first line of a head, whose other lines did not come yet. `line` has its end.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), Invalid> {
    first_line(line)?.map(|_| ()).ok_or(MALFORMED_LINE)
}

/// The characters of targets.
static VISIBLE: Set = visible_but(b"");

struct FirstLine {
    method: Method,
    target_span: Span,
    target: Target,
    version: Version,
    /// With its end.
    length: usize,
}

/// Parses a first line (RFC 9112, 3); none if it is not whole.
#[inline(always)]
fn first_line(bytes: &[u8]) -> Result<Option<FirstLine>, Invalid> {
    let method_end = end_of(&TOKEN, bytes, 0);
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
    let version = match rest {
        b"HTTP/1.1\r\n" => Version::Http11,
        b"HTTP/1.0\r\n" => Version::Http10,
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
        ] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Invalid::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "the version of HTTP is not supported",
            ));
        }
        _ => return Err(MALFORMED_LINE),
    };
    let method = match &bytes[..method_end] {
        b"GET" => Method::GET,
        other => Method::from_bytes(other).map_err(|_| MALFORMED_LINE)?,
    };
    let target = target::parse(&method, &bytes[start..end], start)?;
    let target_span = Span {
        start: start as u32,
        end: end as u32,
    };
    Ok(Some(FirstLine {
        method,
        target_span,
        target,
        version,
        length: end + 11,
    }))
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
