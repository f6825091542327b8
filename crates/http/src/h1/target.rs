//! Targets of requests (RFC 9112, 3.2) and authorities (RFC 9110, 4.2).

use std::net::Ipv6Addr;

use http::Method;
use memchr::memchr;

use super::invalid::Invalid;
use super::request_head::{Parts, Span, TargetForm};
use super::text::{Set, alphanumeric_and, end_of, visible_but};

const MALFORMED: Invalid = Invalid::bad("the target of the request is malformed");

/// Looks at the target of a request, which is of visible ASCII characters, not empty, and starts at `at` of its head.
#[inline]
pub(super) fn parse(
    method: &Method,
    bytes: &[u8],
    at: usize,
    parts: &mut Parts,
) -> Result<(), Invalid> {
    let path_start = if bytes[0] == b'/' && *method != Method::CONNECT {
        0
    } else {
        match other_form(method, bytes, at, parts)? {
            Some(path_start) => path_start,
            None => return Ok(()),
        }
    };
    let path_end = end_of(&PATH, bytes, path_start);
    if path_end < bytes.len() {
        if end_of(&QUERY, bytes, path_end) < bytes.len() {
            return Err(Invalid::bad("the target of the request has a fragment"));
        }
        parts.query = span(at, path_end + 1, bytes.len());
    }
    if path_start < path_end {
        parts.path = span(at, path_start, path_end);
    }
    Ok(())
}

/// Looks at the beginning of a target that does not begin with its path; gives where that is, if it has one.
#[inline(never)]
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
        parts.host = span(at, 0, bytes.len());
        return Ok(None);
    }
    if bytes == b"*" && *method == Method::OPTIONS {
        parts.form = TargetForm::Asterisk;
        parts.path = span(at, 0, 1);
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
    parts.host = span(at, start, end);
    Ok(Some(end))
}

fn span(at: usize, start: usize, end: usize) -> Span {
    Span {
        start: (at + start) as u32,
        end: (at + end) as u32,
    }
}

fn after_scheme(target: &[u8]) -> Option<usize> {
    let scheme = [&b"http://"[..], b"https://"];
    let starts = |scheme: &&[u8]| {
        target.len() >= scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme)
    };
    scheme.into_iter().find(starts).map(<[u8]>::len)
}

/// Whether a host and perhaps a port have a port; none if they are invalid. The host may be empty.
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

/// The characters of a query.
static QUERY: Set = visible_but(b"#");

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
