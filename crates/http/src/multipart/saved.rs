//! Parts in files.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tempfile::{NamedTempFile, TempPath};
use uptick_event_loop::spawn_blocking;

use crate::MultipartError;

/// A part that was written to a file, which is removed when this is dropped.
#[derive(Debug)]
pub struct SavedFile {
    path: TempPath,
    length: u64,
}

impl SavedFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps the file under another name, in the same file system; a file of that name is replaced.
    ///
    /// # Errors
    /// [`MultipartError::Save`]; then the file is removed.
    pub async fn keep(self, path: impl Into<PathBuf>) -> Result<(), MultipartError> {
        let (from, to) = (self.path, path.into());
        job(move || from.persist(to).map_err(|error| error.error)).await
    }
}

/// What is written at once.
const PIECE: usize = 64 * 1024;

/// A file that is being written, on the pool of blocking jobs.
pub(super) struct Saving {
    file: NamedTempFile,
    /// What waits to be written, of [`PIECE`] and one chunk at most.
    waiting: BytesMut,
    length: u64,
}

impl Saving {
    pub(super) async fn create(directory: &Path) -> Result<Saving, MultipartError> {
        let directory = directory.to_owned();
        let file = job(move || NamedTempFile::new_in(directory)).await?;
        Ok(Saving {
            file,
            waiting: BytesMut::new(),
            length: 0,
        })
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), MultipartError> {
        self.length += bytes.len() as u64;
        self.waiting.extend_from_slice(&bytes);
        if self.waiting.len() < PIECE {
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
        let bytes = self.waiting.split();
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
