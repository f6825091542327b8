//! The form of a path in which it is compared.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What may not stand in a path as it is. (RFC 3986 section 3.3)
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`');

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadEscape;

/// The path with the escapes of unreserved characters undone and the digits of the others in capitals.
/// (RFC 3986 section 6.2.2)
///
/// A path without an escape is not copied.
pub(super) fn normalised(path: &str) -> Result<Cow<'_, str>, BadEscape> {
    let Some(first) = path.bytes().position(|b| b == b'%') else {
        return Ok(Cow::Borrowed(path));
    };
    let (plain, mut rest) = path.split_at(first);
    let mut out = String::with_capacity(path.len());
    out.push_str(plain);
    while let Some(escape) = rest.strip_prefix('%') {
        let &[high, low, ..] = escape.as_bytes() else {
            return Err(BadEscape);
        };
        let value = hex(high)? << 4 | hex(low)?;
        if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(value));
        } else {
            out.push('%');
            out.push(char::from(high.to_ascii_uppercase()));
            out.push(char::from(low.to_ascii_uppercase()));
        }
        // Both digits are ASCII, so this is a character boundary.
        let after = &escape[2..];
        let next = after.find('%').unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    Ok(Cow::Owned(out))
}

/// Literal text of a pattern in the form in which paths are compared: what cannot stand in a path is escaped.
pub(super) fn of_pattern(text: &str) -> Result<String, BadEscape> {
    let encoded: Cow<'_, str> = utf8_percent_encode(text, ENCODED).into();
    normalised(&encoded).map(Cow::into_owned)
}

fn hex(digit: u8) -> Result<u8, BadEscape> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BadEscape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_an_escape_is_not_copied() {
        assert!(matches!(normalised("/a/b"), Ok(Cow::Borrowed("/a/b"))));
    }

    #[test]
    fn escapes_of_unreserved_characters_are_undone() {
        assert_eq!(normalised("/%61%2D%7e%5F%2ex").unwrap(), "/a-~_.x");
    }

    #[test]
    fn other_escapes_stay_in_capitals() {
        assert_eq!(normalised("/a%2fb%c3%bc%25").unwrap(), "/a%2Fb%C3%BC%25");
    }

    #[test]
    fn an_escape_is_undone_once() {
        assert_eq!(normalised("/%2541").unwrap(), "/%2541");
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for path in ["/%", "/%4", "/%4g", "/%g4", "/a%%41", "/%+1", "/%é"] {
            assert_eq!(normalised(path), Err(BadEscape), "{path}");
        }
    }

    #[test]
    fn text_of_a_pattern_is_escaped_as_a_client_would_escape_it() {
        assert_eq!(of_pattern("/über uns").unwrap(), "/%C3%BCber%20uns");
        assert_eq!(of_pattern("/a%2fb").unwrap(), "/a%2Fb");
    }

    proptest::proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(path in "/([a-c/~]|%[0-9A-Fa-f]{2}){0,20}") {
            let normal = normalised(&path).unwrap().into_owned();
            proptest::prop_assert_eq!(normalised(&normal), Ok(Cow::Borrowed(&*normal)));
        }
    }
}
