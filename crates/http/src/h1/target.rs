//! Targets of requests (RFC 9112, 3.2) and authorities (RFC 9110, 4.2).

use std::net::Ipv6Addr;

use http::Method;
use memchr::memchr;

use super::block::{Block, WIDTH};
use super::invalid::Invalid;
use super::request_head::{Parts, Span, TargetForm};
use super::text::{Set, alphanumeric_and, end_of, end_of_long, visible_but};

const MALFORMED: Invalid = Invalid::bad("the target of the request is malformed");

/// Returns where the target ends that begins with a path at a place, and notes where its path is and what follows it.
#[inline(always)]
pub(super) fn path(bytes: &[u8], start: usize, parts: &mut Parts) -> usize {
    let end = end_of_long(&PATH, Block::no_path, bytes, start);
    parts.path = Span::new(start, end);
    match bytes.get(end) {
        Some(b'?' | b'#') => query(bytes, end, parts),
        _ => end,
    }
}

#[inline(never)]
fn query(bytes: &[u8], start: usize, parts: &mut Parts) -> usize {
    let end = end_of_visible(bytes, start);
    parts.query = Span::new(start + 1, end);
    end
}

/// Checks that what follows the path of a target is a query without a fragment.
#[inline(always)]
pub(super) fn check_query(bytes: &[u8], parts: &Parts) -> Result<(), Invalid> {
    match parts.query.start {
        0 => Ok(()),
        start => check_no_fragment(&bytes[start as usize - 1..parts.query.end as usize]),
    }
}

#[inline(never)]
fn check_no_fragment(text: &[u8]) -> Result<(), Invalid> {
    match memchr(b'#', text) {
        None => Ok(()),
        Some(_) => Err(Invalid::bad("the target of the request has a fragment")),
    }
}

/// Parses a target that does not begin with a path, which is at a place of a head.
pub(super) fn other(
    method: &Method,
    bytes: &[u8],
    start: usize,
    end: usize,
    parts: &mut Parts,
) -> Result<(), Invalid> {
    if let Some(place) = other_form(method, &bytes[start..end], start, parts)? {
        path(bytes, start + place, parts);
        if parts.path.start == parts.path.end {
            parts.path = Span::default();
        }
    }
    Ok(())
}

/// Parses the beginning of a target that does not begin with its path; returns where that is, if it has one.
fn other_form(
    method: &Method,
    bytes: &[u8],
    at: usize,
    parts: &mut Parts,
) -> Result<Option<usize>, Invalid> {
    if *method == Method::CONNECT {
        if check_authority(bytes) != Some(true) {
            return Err(Invalid::bad(
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
        return Err(Invalid::bad(
            "the target of the request names no valid host",
        ));
    }
    parts.form = TargetForm::Absolute;
    parts.host = Span::new(at + start, at + end);
    Ok(Some(end))
}

/// Returns the place of the first character from `at` on that no target has, or of the end.
#[inline]
pub(super) fn end_of_visible(bytes: &[u8], at: usize) -> usize {
    end_of_long(&VISIBLE, Block::invisible, bytes, at)
}

fn after_scheme(target: &[u8]) -> Option<usize> {
    let scheme = [&b"http://"[..], b"https://"];
    let starts = |scheme: &&[u8]| {
        target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme)
    };
    scheme.into_iter().find(starts).map(<[u8]>::len)
}

/// Returns whether the authority from `start` to `end` of `bytes` is valid and fits into a block, as most do. `false` leaves the
/// answer to [`check_authority`].
#[inline(always)]
pub(super) fn is_plain_authority(bytes: &[u8], start: usize, end: usize) -> bool {
    let Some(block) = Block::at(bytes, start) else {
        return false;
    };
    let length = end.wrapping_sub(start);
    let host = (block.no_plain_host() | 1 << WIDTH).trailing_zeros() as usize;
    if length > WIDTH || host >= length {
        return length <= WIDTH;
    }
    // Any number of up to four digits is a port. The character after the authority is no digit.
    let digits = (block.no_digits() | 1 << WIDTH) >> (host + 1);
    let port = digits.trailing_zeros() as usize;
    host > 0 && block.byte(host) == b':' && port <= 4 && host + 1 + port == length
}

/// Returns whether a host and perhaps a port have a port; `None` if they are invalid. The host may be empty.
///
/// Less than RFC 3986 allows: no user, no IP addresses of the future, none of the delimiters that no host's name has
/// and that others may read as the end of one.
#[inline]
pub(super) fn check_authority(authority: &[u8]) -> Option<bool> {
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

/// Where a host ends that is an IPv6 address or has escapes in it.
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

/// The characters that a host's name may have: unreserved ones (RFC 3986, 2.3).
static HOST: Set = alphanumeric_and(b"-._~");

/// The characters of a path.
static PATH: Set = visible_but(b"?#");

/// The characters of a target.
static VISIBLE: Set = visible_but(b"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_a_host_and_perhaps_a_port() {
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
