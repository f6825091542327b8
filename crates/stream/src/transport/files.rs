//! Files in the write queue of a socket, which the kernel sends: none of their bytes are copied into the process.
//!
//! ```text
//! queue ─→ file ─→ what was written behind it ─→ file ─→ …
//! ```
//!
//! Cost of a file: one system call for what the socket takes at once, and none of the queue's memory. A stream without
//! files pays for a flag.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use uptick_event_loop::{Id, Readiness, driver};

use super::flags::Flags;
use super::sending::send_bytes;
use super::{Entry, Transport};
use crate::error::Error;
use crate::file_range::{FileRange, SENDFILE_SUPPORTED};
use crate::write_queue::WriteQueue;

/// How many files may wait in a write queue: each keeps a descriptor open.
const MOST: usize = 16;

/// How many bytes of files a stream sends before others have their turn: 1 MiB.
const TURN: usize = 1024 * 1024;

/// What is read at once of a file that the kernel cannot send.
const PIECE: usize = 64 * 1024;

/// A file that waits, and what goes out after it.
pub(super) struct QueuedFile {
    range: FileRange,
    behind: WriteQueue,
}

pub(super) type QueuedFiles = VecDeque<QueuedFile>;

/// Appends a file; returns whether there was room for it. A file that the kernel cannot send is the error.
pub(super) fn append<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    range: FileRange,
) -> Result<bool, FileRange> {
    let others = Flags::FILTERED | Flags::JOBS;
    if !SENDFILE_SUPPORTED || !entry.is_socket() || entry.flags.intersects(others) {
        return Err(range);
    }
    if !range.is_empty() {
        let files = &mut entry.rare().files;
        if files.len() >= MOST {
            entry.flags.insert(Flags::FULL);
            entry.fail_later(id, Error::TooManyFiles { limit: MOST });
            return Ok(false);
        }
        files.push_back(QueuedFile {
            range,
            behind: WriteQueue::new(),
        });
        entry.flags.insert(Flags::FILES);
    }
    Ok(true)
}

/// Appends what `f` appends to a queue behind the files.
pub(super) fn append_behind<T: Transport>(entry: &mut Entry<T>, f: impl FnOnce(&mut WriteQueue)) {
    if let Some(last) = entry.rare().files.back_mut() {
        f(&mut last.behind);
    }
}

/// Sends the files and what is behind them, until the socket takes no more or it is the turn of others. The queue before
/// them is empty, or the socket takes nothing.
#[cold]
pub(super) fn send<T: Transport>(entry: &mut Entry<T>, id: Id) -> io::Result<()> {
    let mut left = TURN;
    send_bytes(entry)?;
    while !entry.flags.contains(Flags::BLOCKED) {
        let Some(file) = entry.rare.as_mut().and_then(|rare| rare.files.front_mut()) else {
            entry.flags.remove(Flags::FILES);
            return Ok(());
        };
        if file.range.is_empty() {
            sent(entry);
            send_bytes(entry)?;
            continue;
        }
        if left == 0 {
            entry.flags.insert(Flags::BLOCKED);
            driver::ready_later(entry.token(id), Readiness::WRITABLE);
            return Ok(());
        }
        match file.range.send(&entry.fd, left) {
            Ok(0) => return Err(shorter()),
            Ok(count) => {
                // Also when it is a part: whether the socket is full or the file has ended, the next call tells.
                left -= count;
                entry.bytes_written += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => entry.flags.insert(Flags::BLOCKED),
            Err(Errno::INVAL | Errno::NOSYS) => {
                // Not every file system knows how.
                let bytes = file.range.read(PIECE.min(left))?;
                left -= bytes.len();
                entry.queue.get_or_insert_default().push(bytes);
                send_bytes(entry)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Nothing of it may be followed by anything else: whoever reads would take that for the rest of the file.
fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}

/// The first file is sent: what is behind it has its turn.
fn sent<T: Transport>(entry: &mut Entry<T>) {
    let files = &mut entry.rare().files;
    let file = files.pop_front();
    if files.is_empty() {
        entry.flags.remove(Flags::FILES);
    }
    if let Some(mut file) = file {
        let queue = entry.queue.get_or_insert_default();
        queue.append(&mut file.behind);
    }
}

impl<T: Transport> Entry<T> {
    /// How many bytes are written behind files.
    #[cold]
    pub(super) fn queued_behind_files(&self) -> usize {
        let files = self.rare.iter().flat_map(|rare| &rare.files);
        files.map(|file| file.behind.len()).sum()
    }

    /// Lets go of the files.
    pub(super) fn drop_files(&mut self) {
        if self.flags.take(Flags::FILES)
            && let Some(rare) = self.rare.as_mut()
        {
            rare.files.clear();
        }
    }
}

impl QueuedFile {
    /// Returns whether nothing of the file is left to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}
