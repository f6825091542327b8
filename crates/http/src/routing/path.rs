//! The normal form of a path, in which routes and guards compare it.

use std::borrow::Cow;
use std::cell::OnceCell;

/// The error for a `%` without two hexadecimal digits after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// Returns whether a byte of a segment is escaped in the normal form: bytes that are not allowed in a path (RFC 3986, section 3.3), `%`,
/// and the separators `/` and `\`.
const fn is_escaped(byte: u8) -> bool {
    let special = matches!(
        byte,
        b'"' | b'#' | b'%' | b'/' | b'<' | b'>' | b'?' | b'\\' | b'`'
    );
    special || !matches!(byte, b'!'..=b'~')
}

/// The bytes that are always escaped in a normal path, or start an escape.
static REWRITTEN: [bool; 256] = {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = is_escaped(byte as u8) && byte as u8 != b'/';
        byte += 1;
    }
    set
};

/// Returns the normal form of a path. Paths whose segments decode to the same bytes have the same normal form, so that a check of the path
/// cannot be bypassed with another spelling. In it, each byte is always escaped or never escaped, escapes have upper-case digits, and
/// escaped separators stay escaped.
///
/// A path without escapes that needs none is not copied.
pub(super) fn normalized(path: &str) -> Result<Cow<'_, str>, BadEscape> {
    match is_normal(path.as_bytes()) {
        true => Ok(Cow::Borrowed(path)),
        false => rewrite(path.as_bytes()).map(Cow::Owned),
    }
}

/// Returns whether a path is in normal form and has no escapes.
#[inline]
fn is_normal(path: &[u8]) -> bool {
    // Paths are short: checking all bytes is cheaper than a branch for each byte.
    !path
        .iter()
        .fold(false, |any, byte| any | REWRITTEN[usize::from(*byte)])
}

fn rewrite(path: &[u8]) -> Result<String, BadEscape> {
    let is_rewritten = |byte: u8| REWRITTEN[usize::from(byte)];
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = match byte {
            b'%' => {
                let high = hex(bytes.next().ok_or(BadEscape)?)?;
                let low = hex(bytes.next().ok_or(BadEscape)?)?;
                let byte = high << 4 | low;
                (byte, is_escaped(byte))
            }
            byte => (byte, is_rewritten(byte)),
        };
        if escaped {
            out.push_str(percent_encoding::percent_encode_byte(byte));
        } else {
            out.push(char::from(byte));
        }
    }
    Ok(out)
}

/// Returns whether each segment of a normal path is a plain name: none has an escaped separator or NUL, none is `.` or `..`, and only the
/// last one is empty. Such a path names the same file after any further decoding or resolution.
pub(crate) fn has_plain_segments(normal: &str) -> bool {
    let inner = normal.strip_prefix('/').unwrap_or(normal);
    let before_last = inner.strip_suffix('/').unwrap_or(inner);
    let is_name = |segment| !matches!(segment, "" | "." | "..");
    let escapes = ["%2F", "%5C", "%00"];
    (inner.is_empty() || before_last.split('/').all(is_name))
        && !escapes.iter().any(|escape| normal.contains(escape))
}

fn hex(digit: u8) -> Result<u8, BadEscape> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BadEscape),
    }
}

/// The normal form of a request's path, computed on first use.
#[derive(Clone, Debug, Default)]
pub(crate) struct NormalPath(OnceCell<CachedForm>);

#[derive(Clone, Debug)]
enum CachedForm {
    /// The path as it was sent.
    Sent,
    Rewritten(Box<str>),
    Malformed,
}

impl NormalPath {
    /// Returns the normal form; `sent` is the path as it was sent, which must be the same in each call.
    ///
    /// # Errors
    /// If the path has a malformed escape.
    #[inline]
    pub(crate) fn of<'a>(&'a self, sent: &'a [u8]) -> Result<&'a [u8], BadEscape> {
        let form = self.0.get_or_init(|| match is_normal(sent) {
            true => CachedForm::Sent,
            false => rewrite(sent).map_or(CachedForm::Malformed, |path| {
                CachedForm::Rewritten(path.into())
            }),
        });
        match form {
            CachedForm::Sent => Ok(sent),
            CachedForm::Rewritten(path) => Ok(path.as_bytes()),
            CachedForm::Malformed => Err(BadEscape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_escapes_that_needs_none_is_not_copied() {
        for path in ["/a/b", "/!$&'()*+,;=:@-._~^|{}", "*", ""] {
            let normal = normalized(path);
            assert!(
                matches!(normal, Ok(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn escapes_of_allowed_characters_are_decoded() {
        assert_eq!(normalized("/%61%2D%7e%5F%2ex").unwrap(), "/a-~_.x");
        assert_eq!(normalized("/%40a/%21%3b%3A%7C").unwrap(), "/@a/!;:|");
    }

    #[test]
    fn other_escapes_are_kept_in_upper_case() {
        let path = "/a%2fb%c3%bc%25%5c%3f%00%20";
        let normal = "/a%2Fb%C3%BC%25%5C%3F%00%20";
        assert_eq!(normalized(path).unwrap(), normal);
    }

    #[test]
    fn disallowed_characters_are_escaped() {
        assert_eq!(normalized("/\"<\\>`").unwrap(), "/%22%3C%5C%3E%60");
        assert_eq!(normalized("/über uns").unwrap(), "/%C3%BCber%20uns");
    }

    #[test]
    fn an_escape_is_decoded_only_once() {
        assert_eq!(normalized("/%2541").unwrap(), "/%2541");
        assert_eq!(normalized("/%252F").unwrap(), "/%252F");
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for path in ["/%", "/%4", "/%4g", "/%g4", "/a%%41", "/%+1", "/%é"] {
            assert_eq!(normalized(path), Err(BadEscape), "{path}");
        }
    }

    #[test]
    fn paths_with_segments_that_are_not_names_are_detected() {
        for path in [
            "/", "/a", "/a/", "/a/b.c/d", "/...", "/.a", "/a..", "/%252F", "/%C3%BC",
        ] {
            assert!(has_plain_segments(path), "{path}");
        }
        for path in [
            "//", "//a", "/a//", "/a//b", "/.", "/..", "/a/../b", "/a/.", "/./a", "/../", "/a%2Fb",
            "/%2F", "/a%5Cb", "/a%00", "..",
        ] {
            assert!(!has_plain_segments(path), "{path}");
        }
    }

    #[test]
    fn the_normal_form_of_a_request_is_the_normal_form_of_its_path() {
        let of = |sent: &str| {
            NormalPath::default()
                .of(sent.as_bytes())
                .map(<[u8]>::to_vec)
        };
        assert_eq!(of("/a"), Ok(b"/a".into()));
        assert_eq!(of("/%61"), Ok(b"/a".into()));
        assert_eq!(of("/%zz"), Err(BadEscape));
    }

    proptest::proptest! {
        #[test]
        fn a_normal_path_is_its_own_normal_form(path in "(/|[ -~é]|%[0-9A-Fa-f]{2}){0,20}") {
            if let Ok(normal) = normalized(&path) {
                let again = normalized(&normal);
                proptest::prop_assert_eq!(again.as_deref(), Ok(&*normal));
            }
        }

        #[test]
        fn segments_that_decode_to_the_same_bytes_have_one_normal_form(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..20),
            escaped in proptest::collection::vec(proptest::bool::ANY, 20),
        ) {
            let spelt = |escaped: &dyn Fn(usize) -> bool| {
                let mut path = String::from("/");
                for (index, byte) in bytes.iter().enumerate() {
                    if escaped(index) || matches!(byte, b'%' | b'/') || !byte.is_ascii() {
                        path.push_str(&format!("%{byte:02x}"));
                    } else {
                        path.push(char::from(*byte));
                    }
                }
                normalized(&path).unwrap().into_owned()
            };
            let normal = spelt(&|index| escaped[index]);
            proptest::prop_assert_eq!(&normal, &spelt(&|_| true));
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(&normal[1..]).collect();
            proptest::prop_assert_eq!(decoded, bytes);
        }
    }
}
