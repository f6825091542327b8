//! Resolution of references (RFC 3986, section 5.2).

use std::borrow::Cow;

use super::parse::{Authority, Components};
use super::{Url, check_length, no_host};
use crate::error::Failure;

/// Resolves `reference` against `base`. A reference without a fragment inherits the fragment of `base`.
pub(super) fn resolve(base: &Url, reference: &[u8]) -> Result<Url, Failure> {
    check_length(reference.len())?;
    let components = Components::split(reference);
    let scheme = components.scheme()?;
    let fragment = components.fragment.or(base.fragment().map(str::as_bytes));
    if scheme.is_some() || components.authority.is_some() {
        let mut authority = Authority::parse(components.authority.ok_or_else(no_host)?)?;
        authority.user_info = None;
        let path = remove_dot_segments(components.path);
        return Url::build(
            scheme.unwrap_or(base.scheme()),
            authority,
            &path,
            components.query,
            fragment,
        );
    }
    let base_path = base.path().as_bytes();
    let (path, query) = if components.path.is_empty() {
        let query = components.query.or(base.query().map(str::as_bytes));
        (Cow::Borrowed(base_path), query)
    } else if components.path.starts_with(b"/") {
        (remove_dot_segments(components.path), components.query)
    } else {
        let directory = memchr::memrchr(b'/', base_path).map_or(0, |position| position + 1);
        let merged = [&base_path[..directory], components.path].concat();
        let path = remove_dot_segments(&merged).into_owned();
        (Cow::Owned(path), components.query)
    };
    Url::build(base.scheme(), Authority::of(base), &path, query, fragment)
}

/// Removes the segments `.` and `..` of an absolute or empty path.
fn remove_dot_segments(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(rest) = path.strip_prefix(b"/") else {
        return Cow::Borrowed(path);
    };
    if !path.windows(2).any(|pair| pair == b"/.") {
        return Cow::Borrowed(path);
    }
    let mut result = Vec::with_capacity(path.len());
    let mut segments = rest.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." => {}
            b".." => result.truncate(memchr::memrchr(b'/', &result).unwrap_or(0)),
            _ => {
                result.push(b'/');
                result.extend_from_slice(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            result.push(b'/');
        }
    }
    Cow::Owned(result)
}
