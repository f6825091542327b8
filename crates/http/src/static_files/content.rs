//! The content of a file, in memory or to be sent from the file.

use std::fs::File;
use std::io;

use bytes::Bytes;
use uptick_stream::FileRange;

use super::byteranges::Byteranges;
use crate::{Body, BodyStream};

/// Maximum size of content that is sent from memory, in the same system call as the head, and can be compressed, in bytes. `sendfile` would be
/// cheaper from about 32 KiB, but saves only a few microseconds at this size.
const SMALL: u64 = 64 * 1024;

/// The content of a response.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Bytes(Bytes),
    File(FileRange),
    Parts(Byteranges),
}

impl Content {
    /// Creates the content from a part of a file. A small part is read immediately, so this blocks.
    ///
    /// # Errors
    /// If the file cannot be read; `UnexpectedEof` if it has become shorter.
    pub(super) fn read(file: File, first: u64, length: u64) -> io::Result<Content> {
        let mut range = FileRange::new(file, first, length);
        match usize::try_from(length) {
            Ok(0) => Ok(Content::Empty),
            Ok(all) if length <= SMALL => range.read(all).map(Content::Bytes),
            _ => Ok(Content::File(range)),
        }
    }

    /// Creates the content from several parts of a file. Small parts are read immediately, so this blocks.
    ///
    /// # Errors
    /// The same as [`read`](Content::read).
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

    /// Converts the content into a body. If `by_kernel` is set, the kernel may send a file.
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

    /// Creates an unnamed file of `length` bytes.
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
    fn a_small_part_is_read_immediately() {
        let content = Content::read(file(300_000), 10, 20).unwrap();
        let body = content.into_body(true);
        let expected: Vec<u8> = (10..30).collect();
        assert_eq!(body.as_bytes(), Some(expected.as_slice()));
    }

    #[test]
    fn the_kernel_sends_a_large_part_unless_that_is_disabled() {
        let content = || Content::read(file(300_000), 10, SMALL + 1).unwrap();
        assert!(matches!(content().into_body(true), Body::File(_)));
        let read = content().into_body(false);
        assert!(matches!(read, Body::Stream(_)));
        assert_eq!(read.len(), Some(SMALL + 1));
    }
}
