//! The write queue of a stream, and the start of sending.
//!
//! A write costs a copy into a buffer that all streams share in turn; a flush costs one system call for everything written.
//! A stream owns its buffer only while bytes are queued.

use std::io;

use uptick_event_loop::Id;

use super::flags::StreamFlags;
use super::sending::send_bytes;
use super::{StreamEntry, Transport, deadlines, files, jobs};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::queue_pool;
use crate::write_queue::WriteQueue;

/// Appends a chunk to the queue; returns `false` if the writer should wait for `drain`, or the chunk was not accepted.
#[inline]
pub(super) fn append<T: Transport>(entry: &mut StreamEntry<T>, id: Id, chunk: impl Chunk) -> bool {
    append_to(entry, id, |queue| queue.push(chunk))
}

/// Calls `f` to append to the queue; see [`append`].
#[inline]
pub(super) fn append_to<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    f: impl FnOnce(&mut WriteQueue),
) -> bool {
    if entry.flags.contains(StreamFlags::FILES) {
        return append_after_files(entry, id, f);
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
    // During a visit that flushes the queue, a short queue needs nothing else.
    let special = StreamFlags::BLOCKED
        .union(StreamFlags::FAILED)
        .union(StreamFlags::GATHERED);
    if length < entry.soft_limit as usize
        && entry.flags.contains(StreamFlags::FLUSH_QUEUED)
        && !entry.flags.intersects(special)
    {
        return true;
    }
    appended(entry, id)
}

/// Appends all bytes of another queue; see [`append`].
#[inline]
pub(super) fn append_all<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    mut chunks: Box<WriteQueue>,
) {
    if chunks.is_empty() {
        return queue_pool::put_back(Some(chunks));
    }
    if entry.queue.is_none() && !entry.flags.contains(StreamFlags::FILES) {
        entry.queue = Some(chunks);
        appended(entry, id);
        return;
    }
    append_to(entry, id, |queue| queue.append(&mut chunks));
    queue_pool::put_back(Some(chunks));
}

#[cold]
fn append_after_files<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    f: impl FnOnce(&mut WriteQueue),
) -> bool {
    if overflows(entry, id) {
        return false;
    }
    files::append_after(entry, f);
    appended(entry, id)
}

/// Marks the stream as failed because more was written than the hard limit allows.
#[cold]
fn overflow<T: Transport>(entry: &mut StreamEntry<T>, id: Id) {
    entry
        .flags
        .insert(StreamFlags::OVERFLOW | StreamFlags::FULL);
    entry.schedule_flush(id);
}

/// Returns whether the hard limit is reached, and fails the stream in that case.
pub(super) fn overflows<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> bool {
    let overflows = entry.queued() >= entry.hard_limit as usize;
    if overflows {
        overflow(entry, id);
    }
    overflows
}

/// Schedules the flush of appended bytes. If the queue has reached the soft limit, tries to send it at once; returns `false`
/// if it is still at the limit, or files are queued.
pub(super) fn appended<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> bool {
    let ready = !entry
        .flags
        .intersects(StreamFlags::BLOCKED | StreamFlags::FAILED);
    if ready {
        entry.schedule_flush(id);
    }
    if !entry.is_full() {
        return true;
    }
    appended_above_limit(entry, id, ready)
}

#[cold]
fn appended_above_limit<T: Transport>(entry: &mut StreamEntry<T>, id: Id, ready: bool) -> bool {
    if ready && let Err(error) = send_queue(entry, id) {
        // The system reports a reset only once: if the error were ignored here, the next read would report an end of stream.
        entry.fail_later(id, Error::write(error));
    }
    let full = entry.is_full();
    if full {
        entry.flags.insert(StreamFlags::FULL);
    }
    !full
}

/// Sends until the queue is empty or the descriptor accepts no more.
#[inline]
pub(super) fn send_queue<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> io::Result<()> {
    let before = entry.bytes_written;
    if entry
        .flags
        .intersects(StreamFlags::JOBS | StreamFlags::FILES)
    {
        if entry.flags.contains(StreamFlags::JOBS) {
            return jobs::write(entry, id);
        }
        files::send(entry, id)?;
    } else {
        send_bytes(entry)?;
    }
    if entry.bytes_written > before {
        entry.touch();
    }
    if entry.flags.contains(StreamFlags::BLOCKED) {
        // The socket has accepted bytes, or is full for the first time: the write timeout starts here.
        deadlines::blocked(entry, id);
    }
    Ok(())
}
