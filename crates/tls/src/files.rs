//! Detection of changed files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The metadata of a file that changes with its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> Self {
        FileStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The files that were read, each with its state at that time; `None` if it did not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStates(Vec<(PathBuf, Option<FileStamp>)>);

impl FileStates {
    /// Adds a file with its metadata when it was opened.
    pub(crate) fn add(&mut self, path: &Path, metadata: &Metadata) {
        self.0.push((path.to_path_buf(), Some(metadata.into())));
    }

    /// Returns the same files with their current state. Links are followed.
    pub(crate) fn recheck(&self) -> FileStates {
        let stamp = |path: &PathBuf| std::fs::metadata(path).ok().as_ref().map(FileStamp::from);
        FileStates(
            self.0
                .iter()
                .map(|(path, _)| (path.clone(), stamp(path)))
                .collect(),
        )
    }
}
