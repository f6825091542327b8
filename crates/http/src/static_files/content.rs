//! What a file has in it, in memory or to be sent from the file.

use std::fs::File;
use std::io;

use bytes::Bytes;
use uptick_stream::FileRange;

use super::byteranges::Byteranges;
use crate::{Body, BodyStream};

/// What a file may have to be sent from memory, along with the head and in the same system call, and to be compressed on its
/// way. The kernel would be cheaper from about 32 KiB on, by a few microseconds at this length.
const SMALL: u64 = 64 * 1024;

/// A part of a file, to be sent.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Bytes(Bytes),
    File(FileRange),
    Parts(Byteranges),
}

impl Content {
    /// A part of a file; a small one is read at once, so this blocks.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` when the file has become shorter.
    pub(super) fn read(file: File, first: u64, length: u64) -> io::Result<Content> {
        let mut range = FileRange::new(file, first, length);
        match usize::try_from(length) {
            Ok(0) => Ok(Content::Empty),
            Ok(all) if length <= SMALL => range.read(all).map(Content::Bytes),
            _ => Ok(Content::File(range)),
        }
    }

    /// Several parts of a file; small ones are read at once, so this blocks.
    ///
    /// # Errors
    /// As [`read`](Content::read).
    pub(super) fn read_parts(mut parts: Byteranges) -> io::Result<Content> {
        if parts.len() > SMALL {
            return Ok(Content::Parts(parts));
        }
        let mut all = Vec::new();
        while !parts.is_empty() {
            all.extend_from_slice(&parts.read()?);
        }
        Ok(Content::Bytes(all.into()))
    }

    /// `by_kernel` says whether the kernel may send it.
    pub(super) fn into_body(self, by_kernel: bool) -> Body {
        match self {
            Content::Empty => Body::Empty,
            Content::Bytes(bytes) => bytes.into(),
            Content::File(range) if by_kernel => range.into(),
            Content::File(range) => BodyStream::file(range).into(),
            Content::Parts(parts) => parts.into_stream().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file without a name, of so many bytes.
    fn file(length: u64) -> File {
        let name = format!("uptick-http-content-{}-{length}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn a_small_part_is_read_at_once() {
        let content = Content::read(file(300_000), 10, 20).unwrap();
        let body = content.into_body(true);
        let expected: Vec<u8> = (10..30).collect();
        assert_eq!(body.as_bytes(), Some(expected.as_slice()));
    }

    #[test]
    fn a_large_part_is_sent_by_the_kernel_unless_that_is_not_wanted() {
        let content = || Content::read(file(300_000), 10, SMALL + 1).unwrap();
        assert!(matches!(content().into_body(true), Body::File(_)));
        let read = content().into_body(false);
        assert!(matches!(read, Body::Stream(_)));
        assert_eq!(read.len(), Some(SMALL + 1));
    }
}
