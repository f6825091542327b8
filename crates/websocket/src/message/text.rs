//! UTF-8 text in shared bytes.

use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};
use std::str::Utf8Error;

use bytes::Bytes;
use simdutf8::basic;

/// UTF-8 text in shared bytes; a clone does not copy them.
///
/// It dereferences to [`str`]. Each conversion validates the bytes again, at about ten thousand bytes per
/// microsecond; convert once before a loop.
///
/// # Examples
///
/// ```
/// use uptick_websocket::Text;
///
/// let text = Text::from("grüezi");
/// assert_eq!(text.to_uppercase(), "GRÜEZI");
/// assert_eq!(text.as_bytes().len(), 7);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Bytes);

impl Text {
    /// Creates an empty text.
    pub const fn new() -> Text {
        Text(Bytes::new())
    }

    /// Creates a text with a copy of a string.
    pub fn copy_from(text: &str) -> Text {
        Text(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// Creates a text from bytes that are known to be valid UTF-8.
    #[inline]
    pub(crate) fn of_valid(bytes: Bytes) -> Text {
        debug_assert!(basic::from_utf8(&bytes).is_ok());
        Text(bytes)
    }

    /// Returns a part of the text, which shares its bytes.
    ///
    /// # Panics
    ///
    /// If the range is out of bounds, or does not start and end on a character boundary.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_websocket::Text;
    ///
    /// assert_eq!(Text::from("4grüezi").slice(1..), "grüezi");
    /// ```
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Text {
        let is_boundary = |at: usize| {
            // Continuation bytes are 0b10xx_xxxx.
            self.0.get(at).is_none_or(|&byte| byte & 0xc0 != 0x80)
        };
        let (start, end) = (range.start_bound(), range.end_bound());
        let starts = match start {
            Bound::Included(&at) => is_boundary(at),
            Bound::Excluded(&at) => is_boundary(at.saturating_add(1)),
            Bound::Unbounded => true,
        };
        let ends = match end {
            Bound::Included(&at) => is_boundary(at.saturating_add(1)),
            Bound::Excluded(&at) => is_boundary(at),
            Bound::Unbounded => true,
        };
        assert!(
            starts && ends,
            "the range ({start:?}, {end:?}) is not on character boundaries"
        );
        Text(self.0.slice(range))
    }

    /// Returns the text as a `str`. Each call validates the bytes again: call it once for long texts.
    pub fn as_str(&self) -> &str {
        basic::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the bytes of the text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Converts the text into its bytes, without a copy.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Text {
        Text(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into())
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Bytes {
        text.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.as_str().to_owned()
    }
}

impl TryFrom<Bytes> for Text {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Text, Utf8Error> {
        // The fast validation does not report the position of the error; the standard library does.
        if basic::from_utf8(&bytes).is_err() {
            str::from_utf8(&bytes)?;
        }
        Ok(Text(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_utf8_becomes_text() {
        let text = Text::try_from(Bytes::from_static("ä".as_bytes())).unwrap();
        assert_eq!(text, "ä");
        let error = Text::try_from(Bytes::from_static(b"ab\xff")).unwrap_err();
        assert_eq!(error.valid_up_to(), 2);
    }

    #[test]
    fn text_is_formatted_like_a_string() {
        let text = Text::from(String::from("a\"b"));
        assert_eq!(format!("{text} {text:?}"), "a\"b \"a\\\"b\"");
    }
}
