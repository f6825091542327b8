//! The fields of a head or of trailers, found in the bytes that came.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::block::Block;

/// The fields of a message in the order in which they came: names as they were written, and values without the white
/// space around them.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// Lines that were validated, each with its end.
    lines: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(lines: &'a [u8]) -> Fields<'a> {
        Fields { lines }
    }

    /// Takes the next line, without its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = self.lines.split_at_checked(line_length(self.lines)?)?;
        self.lines = rest;
        let line = line.strip_suffix(b"\r\n")?;
        Some(line).filter(|line| !line.is_empty())
    }

    /// The next value of the fields of a name.
    pub(super) fn next_of(&mut self, name: &str) -> Option<&'a [u8]> {
        loop {
            let is_wanted = self.lines.get(name.len()) == Some(&b':')
                && self.lines[..name.len()].eq_ignore_ascii_case(name.as_bytes());
            if is_wanted {
                return Some(self.line()?[name.len() + 1..].trim_ascii());
            }
            self.lines = self.lines.get(line_length(self.lines)?..)?;
        }
    }
}

/// Returns the length of the first line with its end. In lines that were validated, a line feed is nowhere else.
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

/// The fields of a section as a map, whose values are slices of it.
pub(super) fn to_header_map(section: &Bytes, fields: Fields<'_>) -> HeaderMap {
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

/// The fields after the last chunk of a body (RFC 9112, 7.1.2).
///
/// They are apart from those of the head, and never among them: a sender could add there what was checked already.
#[derive(Clone, Debug)]
pub struct Trailers {
    section: Bytes,
}

impl Trailers {
    pub(super) fn new(section: Bytes) -> Trailers {
        Trailers { section }
    }

    /// All fields in their order.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.section)
    }

    /// The first value of a field; case does not matter in names.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().next_of(name)
    }

    /// The fields as a map.
    pub fn to_header_map(&self) -> HeaderMap {
        to_header_map(&self.section, self.fields())
    }
}
