//! The header `Set-Cookie` (section 5.2 of RFC 6265).

use std::time::{Duration, SystemTime};

use super::date;

/// Maximum size of name and value, in bytes.
const MAX_PAIR: usize = 4096;
/// Maximum size of the value of an attribute, in bytes.
const MAX_ATTRIBUTE: usize = 1024;

/// The parsed value of a header `Set-Cookie`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    /// The attribute `Domain` without a leading dot, if it is not empty.
    pub(super) domain: Option<&'a str>,
    /// The attribute `Path`, if it begins with a slash.
    pub(super) path: Option<&'a str>,
    pub(super) expires: Option<SystemTime>,
    pub(super) max_age: Option<MaxAge>,
    pub(super) is_secure: bool,
    pub(super) is_http_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaxAge {
    Expired,
    For(Duration),
}

impl<'a> SetCookie<'a> {
    /// Parses the value of a header; `None` if the cookie is ignored.
    pub(super) fn parse(header: &'a [u8]) -> Option<SetCookie<'a>> {
        let text = std::str::from_utf8(header).ok()?;
        if text
            .bytes()
            .any(|byte| byte.is_ascii_control() && byte != b'\t')
        {
            return None;
        }
        let mut fields = text.split(';');
        let (name, value) = fields.next()?.split_once('=')?;
        let (name, value) = (trimmed(name), trimmed(value));
        if name.is_empty() || name.len() + value.len() > MAX_PAIR {
            return None;
        }
        let mut cookie = SetCookie {
            name,
            value,
            ..SetCookie::default()
        };
        for field in fields {
            let (attribute, value) = field.split_once('=').unwrap_or((field, ""));
            let value = trimmed(value);
            if value.len() <= MAX_ATTRIBUTE {
                cookie.set_attribute(trimmed(attribute), value);
            }
        }
        Some(cookie)
    }

    /// Sets an attribute. The last of several with the same name counts.
    fn set_attribute(&mut self, name: &str, value: &'a str) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("expires") {
            if let Some(time) = date::parse(value) {
                self.expires = Some(time);
            }
        } else if is("max-age") {
            if let Some(age) = max_age(value) {
                self.max_age = Some(age);
            }
        } else if is("domain") {
            let domain = value.strip_prefix('.').unwrap_or(value);
            if !domain.is_empty() {
                self.domain = Some(domain);
            }
        } else if is("path") {
            self.path = Some(value).filter(|path| path.starts_with('/'));
        } else if is("secure") {
            self.is_secure = true;
        } else if is("httponly") {
            self.is_http_only = true;
        }
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn max_age(value: &str) -> Option<MaxAge> {
    let (is_negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More seconds than a number can hold are as long as any.
    match digits.parse().unwrap_or(u64::MAX) {
        seconds if seconds > 0 && !is_negative => Some(MaxAge::For(Duration::from_secs(seconds))),
        _ => Some(MaxAge::Expired),
    }
}
