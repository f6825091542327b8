//! Bounded excerpts for log lines and error texts.

use std::fmt::{self, Display, Formatter, Write};

/// The beginning of a text, for log lines and error texts that contain bytes from a peer.
///
/// Control characters are escaped, so that the text stays on one line. A truncated text ends with its full length.
///
/// # Limits
/// 256 bytes, unless [`limit`](Excerpt::limit) sets another number.
///
/// # Examples
/// ```
/// use uptick_emitter::Excerpt;
///
/// assert_eq!(Excerpt::new("/a\nb").to_string(), r"/a\nb");
/// assert_eq!(Excerpt::new("x".repeat(5000)).limit(3).to_string(), "xxx… (5000 bytes)");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<T> {
    text: T,
    limit: usize,
}

impl<T: Display> Excerpt<T> {
    /// Creates an excerpt of at most 256 bytes of a text.
    pub fn new(text: T) -> Self {
        Self { text, limit: 256 }
    }

    /// Sets the number of bytes of the text that are shown. Default: 256.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        Self {
            limit: bytes,
            ..self
        }
    }
}

impl<T: Display> Display for Excerpt<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut bounded = BoundedWriter {
            out: f,
            room: self.limit,
            length: 0,
            cut: false,
        };
        write!(bounded, "{}", self.text)?;
        if bounded.cut {
            let length = bounded.length;
            write!(f, "… ({length} bytes)")?;
        }
        Ok(())
    }
}

/// A writer that writes the beginning of a text and counts the rest.
struct BoundedWriter<'a, 'b> {
    out: &'a mut Formatter<'b>,
    room: usize,
    /// Length of the whole text, in bytes.
    length: usize,
    cut: bool,
}

impl Write for BoundedWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len();
        for char in text.chars() {
            let length = match char.is_control() {
                true => char.escape_default().len(),
                false => char.len_utf8(),
            };
            self.cut |= length > self.room;
            if self.cut {
                break;
            }
            self.room -= length;
            match char.is_control() {
                true => write!(self.out, "{}", char.escape_default())?,
                false => self.out.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_shown_in_full() {
        for text in ["", "plain \"text\" \\ ü", &"x".repeat(256)] {
            assert_eq!(Excerpt::new(text).to_string(), text);
        }
    }

    #[test]
    fn a_long_text_is_truncated_between_characters_and_shows_its_length() {
        let long = Excerpt::new("ü".repeat(200)).to_string();
        assert_eq!(long, format!("{}… (400 bytes)", "ü".repeat(128)));
        let odd = Excerpt::new("abüc").limit(3);
        assert_eq!(odd.to_string(), "ab… (5 bytes)");
        assert_eq!(Excerpt::new("a").limit(0).to_string(), "… (1 bytes)");
    }

    #[test]
    fn control_characters_are_escaped() {
        let text = Excerpt::new("a\r\n\0\u{1b}[31m\u{85}\u{7f}");
        assert_eq!(text.to_string(), r"a\r\n\u{0}\u{1b}[31m\u{85}\u{7f}");
        assert_eq!(Excerpt::new("\n\n").limit(3).to_string(), r"\n… (2 bytes)");
    }
}
