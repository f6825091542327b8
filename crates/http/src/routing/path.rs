//! The normal form of a path: the one in which routes and guards compare it.

use std::borrow::Cow;
use std::cell::OnceCell;

/// A `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// Whether a byte of a segment is escaped in the normal form: what cannot stand in a path as it is (RFC 3986, 3.3), the `%`
/// of escapes, and the separators `/` and `\`.
const fn is_escaped(byte: u8) -> bool {
    let special = matches!(
        byte,
        b'"' | b'#' | b'%' | b'/' | b'<' | b'>' | b'?' | b'\\' | b'`'
    );
    special || !matches!(byte, b'!'..=b'~')
}

/// The bytes that a path in normal form has in escapes only, or not at all.
static REWRITTEN: [bool; 256] = {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = is_escaped(byte as u8) && byte as u8 != b'/';
        byte += 1;
    }
    set
};

/// Returns the normal form of a path. Paths whose segments decode to the same bytes have the same normal form, so that
/// whatever compares them cannot be passed by another spelling: of each byte either the byte or its escape is in it, with the
/// digits in capitals, and an escaped separator stays escaped.
///
/// A path that has no escapes and needs none is not copied.
pub(super) fn normalised(path: &str) -> Result<Cow<'_, str>, BadEscape> {
    match is_normal(path.as_bytes()) {
        true => Ok(Cow::Borrowed(path)),
        false => rewritten(path.as_bytes()).map(Cow::Owned),
    }
}

/// Returns whether no byte of a path is one that the normal form has in escapes only, or is the beginning of an escape.
#[inline]
fn is_normal(path: &[u8]) -> bool {
    // Paths are short: looking at all of their bytes is cheaper than a branch for each.
    !path
        .iter()
        .fold(false, |found, byte| found | REWRITTEN[usize::from(*byte)])
}

fn rewritten(path: &[u8]) -> Result<String, BadEscape> {
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

/// Whether each segment of a path in normal form is one name however often it is decoded or resolved: none has an escaped
/// separator or NUL, none is `.` or `..`, and only the last one is empty. Paths to files have to be like that.
pub(crate) fn names_segments(normal: &str) -> bool {
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

/// The normal form of a request's path, computed when it is first needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct NormalPath(OnceCell<Form>);

#[derive(Clone, Debug)]
enum Form {
    /// The path as it was sent.
    Sent,
    Rewritten(Box<str>),
    Malformed,
}

impl NormalPath {
    /// Returns the normal form; `sent` is the path as it was sent, the same in each call.
    ///
    /// # Errors
    /// If the path has a malformed escape.
    #[inline]
    pub(crate) fn of<'a>(&'a self, sent: &'a [u8]) -> Result<&'a [u8], BadEscape> {
        let form = self.0.get_or_init(|| match is_normal(sent) {
            true => Form::Sent,
            false => rewritten(sent).map_or(Form::Malformed, |path| Form::Rewritten(path.into())),
        });
        match form {
            Form::Sent => Ok(sent),
            Form::Rewritten(path) => Ok(path.as_bytes()),
            Form::Malformed => Err(BadEscape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_escapes_that_needs_none_is_not_copied() {
        for path in ["/a/b", "/!$&'()*+,;=:@-._~^|{}", "*", ""] {
            let normal = normalised(path);
            assert!(
                matches!(normal, Ok(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn escapes_of_what_may_stand_in_a_path_are_undone() {
        assert_eq!(normalised("/%61%2D%7e%5F%2ex").unwrap(), "/a-~_.x");
        assert_eq!(normalised("/%40a/%21%3b%3A%7C").unwrap(), "/@a/!;:|");
    }

    #[test]
    fn other_escapes_stay_in_capitals() {
        let path = "/a%2fb%c3%bc%25%5c%3f%00%20";
        let normal = "/a%2Fb%C3%BC%25%5C%3F%00%20";
        assert_eq!(normalised(path).unwrap(), normal);
    }

    #[test]
    fn what_may_not_stand_in_a_path_is_escaped() {
        assert_eq!(normalised("/\"<\\>`").unwrap(), "/%22%3C%5C%3E%60");
        assert_eq!(normalised("/über uns").unwrap(), "/%C3%BCber%20uns");
    }

    #[test]
    fn an_escape_is_undone_once() {
        assert_eq!(normalised("/%2541").unwrap(), "/%2541");
        assert_eq!(normalised("/%252F").unwrap(), "/%252F");
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_refused() {
        for path in ["/%", "/%4", "/%4g", "/%g4", "/a%%41", "/%+1", "/%é"] {
            assert_eq!(normalised(path), Err(BadEscape), "{path}");
        }
    }

    #[test]
    fn segments_that_are_names_are_told_from_those_that_lead_elsewhere() {
        for path in [
            "/", "/a", "/a/", "/a/b.c/d", "/...", "/.a", "/a..", "/%252F", "/%C3%BC",
        ] {
            assert!(names_segments(path), "{path}");
        }
        for path in [
            "//", "//a", "/a//", "/a//b", "/.", "/..", "/a/../b", "/a/.", "/./a", "/../", "/a%2Fb",
            "/%2F", "/a%5Cb", "/a%00", "..",
        ] {
            assert!(!names_segments(path), "{path}");
        }
    }

    #[test]
    fn the_normal_form_of_a_request_is_that_of_its_path() {
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
            if let Ok(normal) = normalised(&path) {
                let again = normalised(&normal);
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
                normalised(&path).unwrap().into_owned()
            };
            let normal = spelt(&|index| escaped[index]);
            proptest::prop_assert_eq!(&normal, &spelt(&|_| true));
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(&normal[1..]).collect();
            proptest::prop_assert_eq!(decoded, bytes);
        }
    }
}
