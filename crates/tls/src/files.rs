//! Which files have been read, and whether they are still the same.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Files, each as it was; without a stamp when it was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    /// Adds a file as it was when it was opened.
    pub(crate) fn add(&mut self, path: &Path, metadata: &Metadata) {
        self.0.push((path.to_path_buf(), Some(metadata.into())));
    }

    /// The same files as they are now. Links are followed.
    pub(crate) fn look_again(&self) -> Files {
        let look = |path: &PathBuf| std::fs::metadata(path).ok().as_ref().map(Stamp::from);
        Files(
            self.0
                .iter()
                .map(|(path, _)| (path.clone(), look(path)))
                .collect(),
        )
    }
}
