//! A part of a file, to be sent as it is.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::io::Errno;

/// So many bytes of an open file from an offset on, whose own position is neither used nor moved.
///
/// It is meant for regular files: whoever sends one expects that reading does not wait for long.
#[derive(Debug)]
pub struct FileRange {
    file: File,
    offset: u64,
    len: u64,
}

impl FileRange {
    /// The `len` bytes from `offset` on. Whether the file has them shows when they are read.
    pub fn new(file: impl Into<File>, offset: u64, len: u64) -> Self {
        FileRange {
            file: file.into(),
            offset,
            len,
        }
    }

    /// How many bytes are left of it.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes off its front: `most`, or as many as are left. It blocks.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` when the file has become shorter.
    pub fn read(&mut self, most: usize) -> io::Result<Bytes> {
        let count = usize::try_from(self.len).map_or(most, |len| len.min(most));
        let mut bytes = vec![0; count];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        self.advance(count);
        Ok(bytes.into())
    }

    /// Has the kernel send the next bytes, `most` of them; gives how many it took, 0 when the file has become shorter.
    pub(crate) fn send(&mut self, socket: impl AsFd, most: usize) -> Result<usize, Errno> {
        let count = usize::try_from(self.len).map_or(most, |len| len.min(most));
        let sent = sendfile(socket, &self.file, self.offset, count)?;
        self.advance(sent);
        Ok(sent)
    }

    fn advance(&mut self, count: usize) {
        self.offset = self.offset.saturating_add(count as u64);
        self.len = self.len.saturating_sub(count as u64);
    }
}

/// Whether the system's `sendfile` is one that [`FileRange`] knows.
pub(crate) const KERNEL_SENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

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

    /// This file, which starts as it does.
    fn this(offset: u64, len: u64) -> FileRange {
        FileRange::new(
            File::open(file!().replace("crates/stream/", "")).unwrap(),
            offset,
            len,
        )
    }

    #[test]
    fn a_range_is_read_from_its_front() {
        let mut range = this(4, 16);
        assert_eq!(range.read(6).unwrap(), "A part");
        assert_eq!(range.len(), 10);
        assert_eq!(range.read(1000).unwrap(), " of a file");
        assert!(range.is_empty());
        assert_eq!(range.read(1000).unwrap(), "");
    }

    #[test]
    fn a_range_that_the_file_does_not_have_is_an_error() {
        let mut range = this(1 << 30, 1);
        let error = range.read(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(this(u64::MAX, 1).read(1).is_err());
    }
}
