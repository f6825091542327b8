//! Fields of a head or of trailers, borrowed from the received bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::block::Block;

/// An iterator over the fields of a message in the order received: names as written, and values without surrounding white space.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// Validated lines, each with its line ending.
    lines: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(lines: &'a [u8]) -> Fields<'a> {
        Fields { lines }
    }

    /// Takes the next line, without its line ending.
    fn line(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.lines.split_at_checked(line_length(self.lines)?)?;
        self.lines = rest;
        let line = line.strip_suffix(b"\r\n")?;
        Some(line).filter(|line| !line.is_empty())
    }

    /// Returns the value of the next field with this name.
    pub(crate) fn next_of(&mut self, name: &str) -> Option<&'a [u8]> {
        loop {
            let is_requested = self.lines.get(name.len()) == Some(&b':')
                && self.lines[..name.len()].eq_ignore_ascii_case(name.as_bytes());
            if is_requested {
                return Some(self.line()?[name.len() + 1..].trim_ascii());
            }
            self.lines = self.lines.get(line_length(self.lines)?..)?;
        }
    }
}

/// Returns the length of the first line with its line ending. Validated lines contain no other line feed.
#[inline]
fn line_length(lines: &[u8]) -> Option<usize> {
    let mut left = lines;
    while let Some((block, rest)) = Block::split(left) {
        let ends = block.line_feeds();
        if ends != 0 {
            return Some(lines.len() - left.len() + ends.trailing_zeros() as usize + 1);
        }
        left = rest;
    }
    let length = left.iter().position(|&byte| byte == b'\n')?;
    Some(lines.len() - left.len() + length + 1)
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.line()?;
        let colon = memchr(b':', line)?;
        let name = str::from_utf8(&line[..colon]).ok()?;
        Some((name, line[colon + 1..].trim_ascii()))
    }
}

/// Returns the fields of a section as a map, whose values are slices of the section.
pub(crate) fn to_header_map(section: &Bytes, fields: Fields<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_maybe_shared(section.slice_ref(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

/// Appends the fields of a map as lines.
pub(crate) fn write_lines(fields: &HeaderMap, lines: &mut Vec<u8>) {
    for (name, value) in fields {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
}

/// The trailers of a body (RFC 9112, section 7.1.2; RFC 9113, section 8.1).
///
/// They are never merged into the headers: otherwise a sender could add headers after they were checked.
#[derive(Clone, Debug)]
pub struct Trailers {
    section: Bytes,
}

impl Trailers {
    pub(crate) fn new(section: Bytes) -> Trailers {
        Trailers { section }
    }

    /// Creates trailers from a map, for transports that have them in this form.
    #[doc(hidden)]
    pub fn from_map(fields: &HeaderMap) -> Trailers {
        let mut section = Vec::new();
        write_lines(fields, &mut section);
        Trailers::new(section.into())
    }

    /// Copies the trailers, which then do not share the memory of the received bytes, in which they may be a small part.
    pub fn detach(&mut self) {
        self.section = Bytes::copy_from_slice(&self.section);
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.section)
    }

    /// Returns the first value of a field. Names are case-insensitive.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().next_of(name)
    }

    /// Returns the fields as a map.
    pub fn to_header_map(&self) -> HeaderMap {
        to_header_map(&self.section, self.fields())
    }
}
