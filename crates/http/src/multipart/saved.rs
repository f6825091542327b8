//! Parts that are written to files.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tempfile::{NamedTempFile, TempPath};
use uptick_event_loop::spawn_blocking;

use crate::MultipartError;

/// A part that was written to a file. The file is removed on drop, unless it is [kept](SavedFile::keep).
#[derive(Debug)]
pub struct SavedFile {
    path: TempPath,
    length: u64,
}

impl SavedFile {
    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size of the file, in bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns `true` if the file is empty.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Moves the file to another path in the same file system and keeps it. An existing file at that path is replaced.
    ///
    /// # Errors
    /// [`MultipartError::Save`] if the file cannot be moved. The file is then removed.
    pub async fn keep(self, path: impl Into<PathBuf>) -> Result<(), MultipartError> {
        let (from, to) = (self.path, path.into());
        job(move || from.persist(to).map_err(|error| error.error)).await
    }
}

/// Minimum number of bytes that are written at once.
const WRITE_SIZE: usize = 64 * 1024;

/// A writer of a part to a file, on the pool of blocking jobs.
pub(super) struct PartWriter {
    file: NamedTempFile,
    /// Bytes to be written: at most [`WRITE_SIZE`] and one chunk.
    buffer: BytesMut,
    length: u64,
}

impl PartWriter {
    pub(super) async fn create(directory: &Path) -> Result<PartWriter, MultipartError> {
        let directory = directory.to_owned();
        let file = job(move || NamedTempFile::new_in(directory)).await?;
        Ok(PartWriter {
            file,
            buffer: BytesMut::new(),
            length: 0,
        })
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), MultipartError> {
        self.length += bytes.len() as u64;
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() < WRITE_SIZE {
            return Ok(());
        }
        self.flush().await
    }

    pub(super) async fn finish(mut self) -> Result<SavedFile, MultipartError> {
        self.flush().await?;
        Ok(SavedFile {
            path: self.file.into_temp_path(),
            length: self.length,
        })
    }

    async fn flush(&mut self) -> Result<(), MultipartError> {
        let bytes = self.buffer.split();
        if bytes.is_empty() {
            return Ok(());
        }
        let file = self.file.as_file().try_clone();
        job(move || file?.write_all(&bytes)).await
    }
}

async fn job<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, MultipartError> {
    let result = spawn_blocking(job).await.map_err(io::Error::other);
    result
        .and_then(|result| result)
        .map_err(|error| MultipartError::Save(Arc::new(error)))
}
