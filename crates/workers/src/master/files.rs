//! The pid file and the lock file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::Error;

/// Writes the process id. A reader sees either the old file or the new one, never a partial one.
pub(crate) fn write_pid(path: &Path) -> Result<(), Error> {
    let fail = |error| Error::io(&format!("writing {}", path.display()), error);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let mut file = File::create(&temporary).map_err(fail)?;
    let written =
        writeln!(file, "{}", std::process::id()).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // The error is about the write; a temporary file that cannot be removed is harmless.
        let _ = std::fs::remove_file(&temporary);
        fail(error)
    })
}

/// Removes the pid file if it contains the id of this process.
pub(crate) fn remove_pid(path: &Path) {
    let ours = std::fs::read_to_string(path)
        .is_ok_and(|text| text.trim().parse() == Ok(std::process::id()));
    if ours && let Err(error) = std::fs::remove_file(path) {
        tracing::warn!("removing {} failed: {error}", path.display());
    }
}

/// Locks a file that one instance of the program at a time can hold. The lock is released when the
/// file is closed.
///
/// # Errors
/// [`Error::Locked`] if another instance holds the lock.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let fail = |error| Error::io(&format!("locking {}", path.display()), error);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::Locked {
            path: path.display().to_string().into(),
        }),
        Err(errno) => Err(fail(errno.into())),
    }
}
