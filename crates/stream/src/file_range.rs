//! A part of a file, sent with `sendfile` where the system supports it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::io::Errno;

/// A range of an open file. The file's own position is neither used nor moved.
///
/// It is meant for regular files, whose reads do not block for long.
#[derive(Debug)]
pub struct FileRange {
    file: File,
    offset: u64,
    len: u64,
}

impl FileRange {
    /// Creates the range of `len` bytes from `offset` on. It is not checked against the length of the file until it is read.
    pub fn new(file: impl Into<File>, offset: u64, len: u64) -> Self {
        FileRange {
            file: file.into(),
            offset,
            len,
        }
    }

    /// Returns the number of remaining bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns `true` if no bytes remain.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the next bytes and removes them from the range: `limit` bytes, or the remaining ones. This call blocks.
    ///
    /// # Errors
    /// The error of the read; `UnexpectedEof` if the file has become shorter.
    pub fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let count = usize::try_from(self.len).map_or(limit, |len| len.min(limit));
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        self.advance(count);
        Ok(bytes.into())
    }

    /// Sends up to `limit` of the next bytes with `sendfile`. Returns the number of bytes sent, 0 if the file has become
    /// shorter.
    pub(crate) fn send(&mut self, socket: impl AsFd, limit: usize) -> Result<usize, Errno> {
        let count = usize::try_from(self.len).map_or(limit, |len| len.min(limit));
        let sent = sendfile(socket, &self.file, self.offset, count)?;
        self.advance(sent);
        Ok(sent)
    }

    fn advance(&mut self, count: usize) {
        self.offset = self.offset.saturating_add(count as u64);
        self.len = self.len.saturating_sub(count as u64);
    }
}

/// `true` if the system's `sendfile` is supported.
pub(crate) const SENDFILE_SUPPORTED: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(any(target_os = "linux", target_os = "android"))]
fn sendfile(socket: impl AsFd, file: &File, offset: u64, count: usize) -> Result<usize, Errno> {
    let mut offset = offset;
    rustix::fs::sendfile(socket, file, Some(&mut offset), count)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sendfile(_: impl AsFd, _: &File, _: u64, _: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a range of this source file, whose first line the tests expect.
    fn this_file(offset: u64, len: u64) -> FileRange {
        FileRange::new(
            File::open(file!().replace("crates/stream/", "")).unwrap(),
            offset,
            len,
        )
    }

    #[test]
    fn a_range_is_read_from_its_start() {
        let mut range = this_file(4, 16);
        assert_eq!(range.read(6).unwrap(), "A part");
        assert_eq!(range.len(), 10);
        assert_eq!(range.read(1000).unwrap(), " of a file");
        assert!(range.is_empty());
        assert_eq!(range.read(1000).unwrap(), "");
    }

    #[test]
    fn a_range_beyond_the_end_of_the_file_is_an_error() {
        let mut range = this_file(1 << 30, 1);
        let error = range.read(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(this_file(u64::MAX, 1).read(1).is_err());
    }
}
