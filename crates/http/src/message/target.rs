//! Request targets (RFC 9112, section 3.2) and authorities (RFC 9110, section 4.2).

use std::net::Ipv6Addr;

use http::Method;
use memchr::memchr;

use super::block::{Block, WIDTH};
use super::invalid::InvalidMessage;
use super::request_head::{HeadParts, Span, TargetForm};
use super::text::{Set, alphanumeric_and, end_of, end_of_long, visible_except};

const MALFORMED: InvalidMessage = InvalidMessage::bad("the target of the request is malformed");

/// Parses a target that starts with a path at `start`, stores the ranges of its path and query, and returns its end.
#[inline(always)]
pub(crate) fn path(bytes: &[u8], start: usize, parts: &mut HeadParts) -> usize {
    let end = end_of_long(&PATH, Block::non_path, bytes, start);
    parts.path = Span::new(start, end);
    match bytes.get(end) {
        Some(b'?' | b'#') => query(bytes, end, parts),
        _ => end,
    }
}

#[inline(never)]
fn query(bytes: &[u8], start: usize, parts: &mut HeadParts) -> usize {
    let end = end_of_visible(bytes, start);
    parts.query = Span::new(start + 1, end);
    end
}

/// Checks that the rest of the target after its path is a query without a fragment.
#[inline(always)]
pub(crate) fn check_query(bytes: &[u8], parts: &HeadParts) -> Result<(), InvalidMessage> {
    match parts.query.start {
        0 => Ok(()),
        start => check_no_fragment(&bytes[start as usize - 1..parts.query.end as usize]),
    }
}

#[inline(never)]
fn check_no_fragment(text: &[u8]) -> Result<(), InvalidMessage> {
    match memchr(b'#', text) {
        None => Ok(()),
        Some(_) => Err(InvalidMessage::bad(
            "the target of the request has a fragment",
        )),
    }
}

/// Parses a target that does not start with a path.
pub(crate) fn non_path(
    method: &Method,
    bytes: &[u8],
    start: usize,
    end: usize,
    parts: &mut HeadParts,
) -> Result<(), InvalidMessage> {
    if let Some(place) = parse_form(method, &bytes[start..end], start, parts)? {
        path(bytes, start + place, parts);
        if parts.path.start == parts.path.end {
            parts.path = Span::default();
        }
    }
    Ok(())
}

/// Parses the start of a target that does not start with its path, and returns the position of the path if there is one.
fn parse_form(
    method: &Method,
    bytes: &[u8],
    at: usize,
    parts: &mut HeadParts,
) -> Result<Option<usize>, InvalidMessage> {
    if *method == Method::CONNECT {
        if check_authority(bytes) != Some(true) {
            return Err(InvalidMessage::bad(
                "the target of CONNECT is not a host and a port",
            ));
        }
        parts.form = TargetForm::Authority;
        parts.host = Span::new(at, at + bytes.len());
        return Ok(None);
    }
    if bytes == b"*" && *method == Method::OPTIONS {
        parts.form = TargetForm::Asterisk;
        parts.path = Span::new(at, at + 1);
        return Ok(None);
    }
    let start = after_scheme(bytes).ok_or(MALFORMED)?;
    let end = bytes[start..].iter().position(|byte| b"/?#".contains(byte));
    let end = end.map_or(bytes.len(), |end| start + end);
    if start == end || bytes[start] == b':' || check_authority(&bytes[start..end]).is_none() {
        return Err(InvalidMessage::bad(
            "the host in the request target is not valid",
        ));
    }
    parts.form = TargetForm::Absolute;
    parts.host = Span::new(at + start, at + end);
    Ok(Some(end))
}

/// Returns the position of the first character at or after `at` that is not allowed in a target, or of the end.
#[inline]
pub(crate) fn end_of_visible(bytes: &[u8], at: usize) -> usize {
    end_of_long(&VISIBLE, Block::invisible, bytes, at)
}

fn after_scheme(target: &[u8]) -> Option<usize> {
    let scheme = [&b"http://"[..], b"https://"];
    let starts = |scheme: &&[u8]| {
        target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme)
    };
    scheme.into_iter().find(starts).map(<[u8]>::len)
}

/// Returns `true` if the authority from `start` to `end` of `bytes` is valid and fits into one block, as most do. If it returns `false`,
/// [`check_authority`] decides.
#[inline(always)]
pub(crate) fn is_plain_authority(bytes: &[u8], start: usize, end: usize) -> bool {
    let Some(block) = Block::at(bytes, start) else {
        return false;
    };
    let length = end.wrapping_sub(start);
    let host = (block.non_plain_host() | 1 << WIDTH).trailing_zeros() as usize;
    if length > WIDTH || host >= length {
        return length <= WIDTH;
    }
    // Every number of up to four digits is a port. The character after the authority is not a digit.
    let digits = (block.non_digits() | 1 << WIDTH) >> (host + 1);
    let port = digits.trailing_zeros() as usize;
    host > 0 && block.byte(host) == b':' && port <= 4 && host + 1 + port == length
}

/// Validates a host with an optional port, and returns whether it has a port; `None` if it is invalid. The host may be empty.
///
/// This is stricter than RFC 3986: it refuses user information, future IP address formats, and sub-delimiters, which host names do not
/// contain and other parsers may treat as the end of the host.
#[inline]
pub(crate) fn check_authority(authority: &[u8]) -> Option<bool> {
    let host_end = end_of(&HOST, authority, 0);
    let host_end = match authority.get(host_end) {
        None => return Some(false),
        Some(b':') => host_end,
        Some(_) => end_of_unusual_host(authority)?,
    };
    match &authority[host_end..] {
        [] => Some(false),
        [b':'] if host_end > 0 => Some(false),
        [b':', port @ ..] if host_end > 0 && port.len() <= 5 => {
            let mut number = 0u32;
            for digit in port {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                number = number * 10 + u32::from(digit);
            }
            (number <= u32::from(u16::MAX)).then_some(true)
        }
        _ => None,
    }
}

/// Returns the end of a host that is an IPv6 address or has percent-encoded characters.
#[cold]
fn end_of_unusual_host(authority: &[u8]) -> Option<usize> {
    if authority.first() == Some(&b'[') {
        let end = memchr(b']', authority)?;
        let address = str::from_utf8(&authority[1..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        return Some(end + 1);
    }
    let end = memchr(b':', authority).unwrap_or(authority.len());
    let mut parts = authority[..end].split(|&byte| byte == b'%');
    let plain = |part: &[u8]| part.iter().all(|&byte| HOST[byte as usize]);
    let escape = |part: &[u8]| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit);
    (parts.next().is_some_and(plain) && parts.all(|part| escape(part) && plain(part)))
        .then_some(end)
}

/// The characters allowed in host names: the unreserved ones (RFC 3986, section 2.3).
static HOST: Set = alphanumeric_and(b"-._~");

/// The characters allowed in a path.
static PATH: Set = visible_except(b"?#");

/// The characters allowed in a target.
static VISIBLE: Set = visible_except(b"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        for (authority, has_port) in [
            ("", false),
            ("example.com", false),
            ("example.com:", false),
            ("example.com:8080", true),
            ("ex_ample-1.com:0", true),
            ("ex%41mple", false),
            ("127.0.0.1:65535", true),
            ("[::1]", false),
            ("[::ffff:127.0.0.1]:80", true),
        ] {
            assert_eq!(
                check_authority(authority.as_bytes()),
                Some(has_port),
                "{authority}"
            );
        }
        for authority in [
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "a:b",
            "a:65536",
            "a:000080",
            "a:+80",
            "a:80:80",
            ":80",
            ":",
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[v1.a]",
            "[fe80::1%25eth0]",
            "::1",
            "a%4",
            "a%zz",
            "a\\b",
            "a?b",
            "a#b",
            "ä",
            "a;b",
            "a\"",
        ] {
            assert_eq!(check_authority(authority.as_bytes()), None, "{authority}");
        }
    }
}
