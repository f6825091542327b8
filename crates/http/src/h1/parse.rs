//! Heads and trailers that are whole.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{Method, StatusCode};
use httparse::{EMPTY_HEADER, Header, Request, Status};

use super::fields::Trailers;
use super::framing::Facts;
use super::invalid::Invalid;
use super::limits::{Limits, MOST_FIELDS};
use super::lines::count_work;
use super::request_head::{RequestHead, Span, Version};
use super::target::{self, Target};

const MALFORMED_LINE: Invalid = Invalid::bad("the first line of the request is malformed");

/// The most fields for which there is always room on the stack.
const FEW_FIELDS: usize = 100;

/// Parses a head at the beginning of `bytes`, and tells its length. None if it is not whole, if a limit is exceeded, or
/// if it is malformed otherwise than in what its first line and fields say: its lines tell which.
///
/// The head still lacks its bytes.
#[inline]
pub(super) fn head(bytes: &[u8], limits: &Limits) -> Option<Result<(RequestHead, usize), Invalid>> {
    if limits.fields <= FEW_FIELDS {
        head_of::<FEW_FIELDS>(bytes, limits)
    } else {
        head_of::<MOST_FIELDS>(bytes, limits)
    }
}

fn head_of<const N: usize>(
    bytes: &[u8],
    limits: &Limits,
) -> Option<Result<(RequestHead, usize), Invalid>> {
    count_work(bytes.len());
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; N];
    let mut request = Request::new(&mut []);
    let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(bytes, &mut fields) else {
        return None;
    };
    let fields_start = request
        .headers
        .first()
        .map_or(length.checked_sub(2)?, |first| offset(bytes, first.name));
    let whole_lines = bytes[..length].ends_with(b"\r\n\r\n")
        && request
            .headers
            .iter()
            .all(|field| bytes[..offset(bytes, field.name)].ends_with(b"\r\n"));
    let within = fields_start <= limits.request_line + 2
        && length - fields_start <= limits.header_section
        && request.headers.len() <= limits.fields;
    if !whole_lines || !within {
        return None;
    }
    match validate(bytes, &request, fields_start) {
        Ok(head) => Some(Ok((head, length))),
        Err(invalid) => Some(Err(invalid)),
    }
}

/// Where a part of a head begins in it.
fn offset(head: &[u8], part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(head.as_ptr() as usize)
}

#[inline(always)]
fn validate(
    bytes: &[u8],
    request: &Request<'_, '_>,
    fields_start: usize,
) -> Result<RequestHead, Invalid> {
    let (method, target_span, target, version) = first_line(bytes, request)?;
    let mut facts = Facts::default();
    for field in request.headers.iter() {
        let at = (field.value.as_ptr() as usize).saturating_sub(bytes.as_ptr() as usize);
        facts.field(field.name, field.value, at)?;
    }
    let host = if target.authority == Span::default() {
        facts.host
    } else {
        target.authority
    };
    let framing = facts.conclude(version, method == Method::CONNECT)?;
    Ok(RequestHead {
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
    })
}

#[inline(always)]
fn first_line(
    bytes: &[u8],
    request: &Request<'_, '_>,
) -> Result<(Method, Span, Target, Version), Invalid> {
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(MALFORMED_LINE);
    };
    let method = match method {
        "GET" => Method::GET,
        _ => Method::from_bytes(method.as_bytes()).map_err(|_| MALFORMED_LINE)?,
    };
    let at = offset(bytes, path);
    let span = Span {
        start: at as u32,
        end: (at + path.len()) as u32,
    };
    let version = if version == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let target = target::parse(&method, path, at)?;
    Ok((method, span, target, version))
}

/// Checks the first line of a head, whose other lines did not come yet. `line` has its end.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), Invalid> {
    let mut request = Request::new(&mut []);
    match request.parse(line) {
        Ok(_) => first_line(line, &request).map(|_| ()),
        Err(httparse::Error::Version) if has_other_version(line) => Err(Invalid::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "the version of HTTP is not supported",
        )),
        Err(_) => Err(MALFORMED_LINE),
    }
}

/// Whether a first line ends with a version as all versions are written.
fn has_other_version(line: &[u8]) -> bool {
    let mut parts = line.trim_ascii_end().splitn(3, |&byte| byte == b' ');
    let version = parts.nth(2).unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// Says what is wrong with a head of whole lines that [`head`] does not parse.
pub(super) fn why(head: &[u8]) -> Invalid {
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    match Request::new(&mut []).parse_with_uninit_headers(head, &mut fields) {
        Err(httparse::Error::HeaderValue) => {
            Invalid::bad("the value of a field has characters that none may have")
        }
        _ => Invalid::bad("a field is malformed"),
    }
}

/// Checks the trailers of a body, which end with an empty line and whose lines are whole.
pub(super) fn trailers(section: Bytes) -> Result<Trailers, Invalid> {
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let malformed = Invalid::bad("a field after the body is malformed");
    let Ok(Status::Complete((length, found))) = httparse::parse_headers(&section, &mut fields)
    else {
        return Err(malformed);
    };
    if length != section.len() {
        return Err(malformed);
    }
    let refused = ["Content-Length", "Transfer-Encoding", "Host"];
    if found.iter().any(|field| {
        refused
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name))
    }) {
        return Err(Invalid::bad(
            "a field after the body would have belonged before it",
        ));
    }
    Ok(Trailers::new(section))
}
