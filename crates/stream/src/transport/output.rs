//! The write queue of a stream and its way to the descriptor.
//!
//! Cost of a write: a copy into a buffer that one stream after the other uses. Of a flush: one system call for all that was
//! written. A stream owns its buffer only while bytes wait in it.

use std::io;

use uptick_event_loop::Id;

use super::flags::Flags;
use super::sending::send_bytes;
use super::{Entry, Transport, deadlines, files, jobs};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::queue_pool;
use crate::write_queue::WriteQueue;

/// Appends a chunk to the queue; returns `false` when the writer should wait for `drain`, or the chunk was not taken.
#[inline]
pub(super) fn append<T: Transport>(entry: &mut Entry<T>, id: Id, chunk: impl Chunk) -> bool {
    append_to(entry, id, |queue| queue.push(chunk))
}

/// Appends what `f` appends to the queue; see [`append`].
#[inline]
pub(super) fn append_to<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    f: impl FnOnce(&mut WriteQueue),
) -> bool {
    if entry.flags.contains(Flags::FILES) {
        return append_behind_files(entry, id, f);
    }
    let queue = match &mut entry.queue {
        Some(queue) => queue,
        none => none.insert(queue_pool::take()),
    };
    let before = queue.len();
    if before >= entry.hard_limit as usize {
        overflow(entry, id);
        return false;
    }
    f(queue);
    let length = queue.len();
    // In the visit that flushes it, nothing is left to be done for a short queue.
    let special = Flags::BLOCKED.union(Flags::FAILED).union(Flags::GATHERED);
    if length < entry.soft_limit as usize
        && entry.flags.contains(Flags::FLUSH_QUEUED)
        && !entry.flags.intersects(special)
    {
        return true;
    }
    appended(entry, id)
}

/// Appends everything from another queue; see [`append`].
#[inline]
pub(super) fn append_all<T: Transport>(entry: &mut Entry<T>, id: Id, mut chunks: Box<WriteQueue>) {
    if chunks.is_empty() {
        return queue_pool::put_back(Some(chunks));
    }
    if entry.queue.is_none() && !entry.flags.contains(Flags::FILES) {
        entry.queue = Some(chunks);
        appended(entry, id);
        return;
    }
    append_to(entry, id, |queue| queue.append(&mut chunks));
    queue_pool::put_back(Some(chunks));
}

#[cold]
fn append_behind_files<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    f: impl FnOnce(&mut WriteQueue),
) -> bool {
    if overflows(entry, id) {
        return false;
    }
    files::append_behind(entry, f);
    appended(entry, id)
}

/// More is to be written than the hard limit allows.
#[cold]
fn overflow<T: Transport>(entry: &mut Entry<T>, id: Id) {
    entry.flags.insert(Flags::OVERFLOW | Flags::FULL);
    entry.schedule_flush(id);
}

/// Returns whether so much waits that nothing more is taken: the stream fails then.
pub(super) fn overflows<T: Transport>(entry: &mut Entry<T>, id: Id) -> bool {
    let overflows = entry.queued() >= entry.hard_limit as usize;
    if overflows {
        overflow(entry, id);
    }
    overflows
}

/// Schedules the flush of what was appended, and tries at once to send a queue above the soft limit; returns `false` when that
/// limit is reached, or files wait.
pub(super) fn appended<T: Transport>(entry: &mut Entry<T>, id: Id) -> bool {
    let ready = !entry.flags.intersects(Flags::BLOCKED | Flags::FAILED);
    if ready {
        entry.schedule_flush(id);
    }
    if !entry.is_full() {
        return true;
    }
    appended_above_limit(entry, id, ready)
}

#[cold]
fn appended_above_limit<T: Transport>(entry: &mut Entry<T>, id: Id, ready: bool) -> bool {
    if ready && let Err(error) = send_queue(entry, id) {
        // The system reports a reset once: here it would be lost, and the next read would find an end.
        entry.fail_later(id, Error::write(error));
    }
    let full = entry.is_full();
    if full {
        entry.flags.insert(Flags::FULL);
    }
    !full
}

/// Sends until the queue is empty or the descriptor takes no more.
#[inline]
pub(super) fn send_queue<T: Transport>(entry: &mut Entry<T>, id: Id) -> io::Result<()> {
    let before = entry.bytes_written;
    if entry.flags.intersects(Flags::JOBS | Flags::FILES) {
        if entry.flags.contains(Flags::JOBS) {
            return jobs::write(entry, id);
        }
        files::send(entry, id)?;
    } else {
        send_bytes(entry)?;
    }
    if entry.bytes_written > before {
        entry.touch();
    }
    if entry.flags.contains(Flags::BLOCKED) {
        // The socket had room, or is full for the first time: the peer's time begins here.
        deadlines::blocked(entry, id);
    }
    Ok(())
}
