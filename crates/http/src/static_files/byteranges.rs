//! Several parts of a file in one response: `multipart/byteranges` (RFC 9110, section 14.6).

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures::stream;
use uptick_event_loop::spawn_blocking;

use super::range::ByteRange;
use crate::BodyStream;

/// Maximum size of a piece of the body, without the delimiters between parts, in bytes.
const PIECE: u64 = 64 * 1024;

/// The unread rest of a `multipart/byteranges` body.
#[derive(Debug)]
pub(super) struct Byteranges {
    file: File,
    boundary: String,
    sections: VecDeque<Section>,
    /// Number of unread bytes.
    len: u64,
}

#[derive(Debug)]
enum Section {
    Text(String),
    /// A part of the file: offset and number of bytes.
    Bytes(u64, u64),
}

impl Byteranges {
    /// Creates the body for parts of a file with this length and type, in the order of `parts`.
    pub(super) fn new(file: File, length: u64, content_type: &str, parts: &[ByteRange]) -> Self {
        let boundary = boundary();
        let mut sections = VecDeque::with_capacity(2 * parts.len() + 1);
        let mut start = "--";
        for part in parts {
            let ByteRange { first, last } = *part;
            sections.push_back(Section::Text(format!(
                "{start}{boundary}\r\nContent-Type: {content_type}\r\n\
                 Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
            )));
            sections.push_back(Section::Bytes(first, part.len()));
            start = "\r\n--";
        }
        sections.push_back(Section::Text(format!("{start}{boundary}--\r\n")));
        let lens = sections.iter().map(|section| match section {
            Section::Text(text) => text.len() as u64,
            Section::Bytes(_, len) => *len,
        });
        let len = lens.sum();
        Byteranges {
            file,
            boundary,
            sections,
            len,
        }
    }

    /// Returns the `Content-Type` of the response.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Returns the number of unread bytes, including the delimiters.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the next piece. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read; `UnexpectedEof` if it has become shorter.
    pub(super) fn read(&mut self) -> io::Result<Bytes> {
        let mut piece = Vec::new();
        while let Some(section) = self.sections.front_mut() {
            let room = PIECE.saturating_sub(piece.len() as u64);
            if room == 0 {
                break;
            }
            match section {
                Section::Text(text) => piece.extend_from_slice(text.as_bytes()),
                Section::Bytes(first, len) => {
                    let count = room.min(*len);
                    let start = piece.len();
                    // `count` is at most `PIECE`.
                    piece.resize(start + count as usize, 0);
                    self.file.read_exact_at(&mut piece[start..], *first)?;
                    *first += count;
                    *len -= count;
                    if *len > 0 {
                        break;
                    }
                }
            }
            self.sections.pop_front();
        }
        self.len = self.len.saturating_sub(piece.len() as u64);
        Ok(piece.into())
    }

    /// Converts the body into a stream, which is read on the pool of blocking jobs as fast as the client receives it.
    pub(super) fn into_stream(self) -> BodyStream {
        let length = self.len;
        let pieces = stream::try_unfold(self, |mut parts| async move {
            if parts.is_empty() {
                return Ok(None);
            }
            let job = spawn_blocking(move || parts.read().map(|piece| (piece, parts)));
            job.await.map_err(io::Error::other)?.map(Some)
        });
        BodyStream::new(pieces).with_length(length)
    }
}

/// Returns a boundary of 128 random bits, which the author of the file cannot predict.
fn boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> File {
        let name = format!("uptick-http-byteranges-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn part(first: u64, last: u64) -> ByteRange {
        ByteRange { first, last }
    }

    #[test]
    fn each_part_has_a_content_type_and_a_content_range() {
        let file = file("parts", b"0123456789");
        let mut parts = Byteranges::new(file, 10, "text/plain", &[part(7, 9), part(0, 0)]);
        let kind = parts.content_type();
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\r\n\
             --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(parts.len(), expected.len() as u64);
        assert_eq!(parts.read().unwrap(), expected);
        assert!(parts.is_empty());
    }

    #[test]
    fn boundaries_are_unique() {
        let made: std::collections::HashSet<_> = (0..100).map(|_| boundary()).collect();
        assert_eq!(made.len(), 100);
    }

    #[test]
    fn large_parts_are_read_in_pieces_with_the_announced_total_length() {
        let bytes: Vec<u8> = (0..500_000).map(|index| (index % 251) as u8).collect();
        let file = file("large", &bytes);
        let mut parts = Byteranges::new(
            file,
            500_000,
            "a/b",
            &[part(1, 199_999), part(300_000, 499_999)],
        );
        let (announced, mut received) = (parts.len(), Vec::new());
        while !parts.is_empty() {
            let piece = parts.read().unwrap();
            assert!(piece.len() as u64 <= PIECE + 200, "{}", piece.len());
            received.extend_from_slice(&piece);
        }
        assert_eq!(received.len() as u64, announced);
        let contains = |part: &[u8]| received.windows(part.len()).any(|window| window == part);
        assert!(contains(&bytes[199_900..200_000]));
        assert!(contains(&bytes[300_000..300_100]));
        assert!(
            received
                .windows(4)
                .filter(|four| four == b"\r\n\r\n")
                .count()
                >= 2
        );
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error() {
        let file = file("shorter", b"0123456789");
        file.set_len(5).unwrap();
        let mut parts = Byteranges::new(file, 10, "a/b", &[part(0, 1), part(8, 9)]);
        let error = parts.read().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
