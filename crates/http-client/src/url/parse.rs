//! The components of a URL or a relative reference.

use super::host::Host;
use super::{Scheme, Url, UserInfo, encode, invalid, no_host};
use crate::error::{ErrorKind, Failure};

/// The components of a URI reference (RFC 3986, appendix B), not decoded.
pub(super) struct Components<'a> {
    pub(super) scheme: Option<&'a [u8]>,
    pub(super) authority: Option<&'a [u8]>,
    pub(super) path: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
    pub(super) fragment: Option<&'a [u8]>,
}

impl<'a> Components<'a> {
    pub(super) fn split(text: &'a [u8]) -> Components<'a> {
        let (text, fragment) = split_at_byte(text, b'#');
        let (text, query) = split_at_byte(text, b'?');
        let (scheme, text) = split_scheme(text);
        let (authority, path) = match text.strip_prefix(b"//") {
            None => (None, text),
            Some(rest) => {
                let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
        };
        Components {
            scheme,
            authority,
            path,
            query,
            fragment,
        }
    }

    /// Returns the scheme; `None` if the reference is relative.
    pub(super) fn scheme(&self) -> Result<Option<Scheme>, Failure> {
        match self.scheme {
            None => Ok(None),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Ok(Some(Scheme::Http)),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Ok(Some(Scheme::Https)),
            Some(scheme) => {
                let name: String = String::from_utf8_lossy(scheme).chars().take(40).collect();
                let reason =
                    format!("the scheme {name:?} is not supported; supported are http and https");
                Err(Failure::new(ErrorKind::UnsupportedScheme, reason))
            }
        }
    }
}

fn split_at_byte(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(separator, text) {
        Some(position) => (&text[..position], Some(&text[position + 1..])),
        None => (text, None),
    }
}

fn split_scheme(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let end = text
        .iter()
        .position(|byte| !is_scheme(byte))
        .unwrap_or(text.len());
    match text.get(end) {
        Some(b':') if text[0].is_ascii_alphabetic() => (Some(&text[..end]), &text[end + 1..]),
        _ => (None, text),
    }
}

/// The authority of a URL.
pub(super) struct Authority<'a> {
    pub(super) user_info: Option<UserInfo>,
    pub(super) host: Host<'a>,
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Authority<'a>, Failure> {
        let (user_info, rest) = match split_at_byte(bytes, b'@') {
            (rest, None) => (None, rest),
            (user_info, Some(rest)) => (parse_user_info(user_info)?, rest),
        };
        // Colons within brackets are part of an address.
        let host_end = match memchr::memrchr2(b']', b':', rest) {
            Some(position) if rest[position] == b':' => position,
            _ => rest.len(),
        };
        let (host, port) = rest.split_at(host_end);
        if host.is_empty() {
            return Err(no_host());
        }
        Ok(Authority {
            user_info,
            host: Host::parse(host)?,
            port: parse_port(port.get(1..).unwrap_or_default())?,
        })
    }

    /// Returns the authority of a URL.
    pub(super) fn of(url: &'a Url) -> Authority<'a> {
        Authority {
            user_info: url.0.user_info.clone(),
            host: Host {
                text: url.host().into(),
                ip: url.ip(),
            },
            port: Some(url.port()),
        }
    }
}

fn parse_port(digits: &[u8]) -> Result<Option<u16>, Failure> {
    let mut port = 0_u16;
    for digit in digits {
        port = match digit.is_ascii_digit() {
            true => port
                .checked_mul(10)
                .and_then(|port| port.checked_add(u16::from(digit - b'0'))),
            false => None,
        }
        .ok_or_else(|| invalid("its port is not a number from 0 to 65535"))?;
    }
    Ok((!digits.is_empty()).then_some(port))
}

fn parse_user_info(bytes: &[u8]) -> Result<Option<UserInfo>, Failure> {
    let is_valid = |(position, byte): (usize, &u8)| {
        encode::is_plain(*byte)
            || *byte == b':'
            || !byte.is_ascii()
            || encode::is_encoded_byte(&bytes[position..])
    };
    let text = match bytes.iter().enumerate().all(is_valid) {
        true => std::str::from_utf8(bytes).ok(),
        false => None,
    }
    .ok_or_else(|| {
        invalid("its user information contains characters that must be percent-encoded")
    })?;
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(
        (!user.is_empty() || !password.is_empty()).then(|| UserInfo {
            user: user.into(),
            password: password.into(),
        }),
    )
}
