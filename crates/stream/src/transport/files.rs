//! Files in the write queue of a socket, sent with `sendfile`: none of their bytes are copied into the process.
//!
//! ```text
//! queue ─→ file ─→ bytes written after it ─→ file ─→ …
//! ```
//!
//! A file costs one system call for the part that the socket accepts at once, and no memory of the queue. A stream without
//! files only checks a flag.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use uptick_event_loop::{Id, Readiness, driver};

use super::flags::StreamFlags;
use super::sending::send_bytes;
use super::{StreamEntry, Transport};
use crate::error::Error;
use crate::file_range::{FileRange, SENDFILE_SUPPORTED};
use crate::write_queue::WriteQueue;

/// Maximum number of files in a write queue; each keeps a descriptor open.
const MAX_FILES: usize = 16;

/// Number of file bytes that a stream sends before other streams are served: 1 MiB.
const FILE_BUDGET: usize = 1024 * 1024;

/// Maximum number of bytes read at once from a file that does not support `sendfile`.
const READ_PIECE: usize = 64 * 1024;

/// A queued file, and the bytes sent after it.
pub(super) struct QueuedFile {
    range: FileRange,
    following: WriteQueue,
}

pub(super) type QueuedFiles = VecDeque<QueuedFile>;

/// Appends a file; returns whether there was room for it. A file that cannot be sent with `sendfile` is returned as the
/// error.
pub(super) fn append<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    range: FileRange,
) -> Result<bool, FileRange> {
    let others = StreamFlags::FILTERED | StreamFlags::JOBS;
    if !SENDFILE_SUPPORTED || !entry.is_socket() || entry.flags.intersects(others) {
        return Err(range);
    }
    if !range.is_empty() {
        let files = &mut entry.extended().files;
        if files.len() >= MAX_FILES {
            entry.flags.insert(StreamFlags::FULL);
            entry.fail_later(id, Error::TooManyFiles { limit: MAX_FILES });
            return Ok(false);
        }
        files.push_back(QueuedFile {
            range,
            following: WriteQueue::new(),
        });
        entry.flags.insert(StreamFlags::FILES);
    }
    Ok(true)
}

/// Calls `f` to append to the queue after the files.
pub(super) fn append_after<T: Transport>(
    entry: &mut StreamEntry<T>,
    f: impl FnOnce(&mut WriteQueue),
) {
    if let Some(last) = entry.extended().files.back_mut() {
        f(&mut last.following);
    }
}

/// Sends the files and the bytes after them, until the socket accepts no more or the budget is used up. The queue before
/// them must be empty, or the socket full.
#[cold]
pub(super) fn send<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> io::Result<()> {
    let mut left = FILE_BUDGET;
    send_bytes(entry)?;
    while !entry.flags.contains(StreamFlags::BLOCKED) {
        let Some(file) = entry
            .extended
            .as_mut()
            .and_then(|extended| extended.files.front_mut())
        else {
            entry.flags.remove(StreamFlags::FILES);
            return Ok(());
        };
        if file.range.is_empty() {
            finish_file(entry);
            send_bytes(entry)?;
            continue;
        }
        if left == 0 {
            entry.flags.insert(StreamFlags::BLOCKED);
            driver::ready_later(entry.token(id), Readiness::WRITABLE);
            return Ok(());
        }
        match file.range.send(&entry.fd, left) {
            Ok(0) => return Err(file_truncated()),
            Ok(count) => {
                // After a partial send, the next call shows whether the socket is full or the file has ended.
                left -= count;
                entry.bytes_written += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => entry.flags.insert(StreamFlags::BLOCKED),
            Err(Errno::INVAL | Errno::NOSYS) => {
                // Some file systems do not support `sendfile`.
                let bytes = file.range.read(READ_PIECE.min(left))?;
                left -= bytes.len();
                entry.queue.get_or_insert_default().push(bytes);
                send_bytes(entry)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Returns the error for a truncated file. Nothing may be sent after it, as the peer would take it for the rest of the file.
fn file_truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}

/// Removes the first file, which is sent, and queues the bytes after it.
fn finish_file<T: Transport>(entry: &mut StreamEntry<T>) {
    let files = &mut entry.extended().files;
    let file = files.pop_front();
    if files.is_empty() {
        entry.flags.remove(StreamFlags::FILES);
    }
    if let Some(mut file) = file {
        let queue = entry.queue.get_or_insert_default();
        queue.append(&mut file.following);
    }
}

impl<T: Transport> StreamEntry<T> {
    /// Returns the number of bytes queued after files.
    #[cold]
    pub(super) fn queued_after_files(&self) -> usize {
        let files = self.extended.iter().flat_map(|extended| &extended.files);
        files.map(|file| file.following.len()).sum()
    }

    /// Drops the queued files.
    pub(super) fn drop_files(&mut self) {
        if self.flags.take(StreamFlags::FILES)
            && let Some(extended) = self.extended.as_mut()
        {
            extended.files.clear();
        }
    }
}

impl QueuedFile {
    /// Returns whether the file is sent completely.
    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}
