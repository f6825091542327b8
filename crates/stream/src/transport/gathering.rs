//! Gathering of small writes to a stream with filters, so that the filters are called once for all of them.
//!
//! Gathered bytes pass through the filters at the end of the visit in which they were written, otherwise at the end of the
//! iteration, or when there are enough of them; and always before anything else passes in the same direction or arrives from
//! below, which keeps the order.
//!
//! A write costs one copy. The buffer comes from the pool of write queues.

use bytes::Bytes;
use uptick_event_loop::Id;

use super::flags::StreamFlags;
use super::{StreamEntry, Transport, output};
use crate::queue_pool;
use crate::write_queue::WriteQueue;

/// Maximum number of gathered bytes: 16 KiB, the payload of one TLS record.
const GATHER_LIMIT: usize = 16 * 1024;

/// The outcome of gathering.
pub(super) enum GatherOutcome {
    /// The bytes are accepted; `false` if the writer should wait for `drain`.
    Accepted(bool),
    /// The bytes are accepted, and all gathered bytes must pass the filters now.
    Full,
}

/// Returns whether `length` more bytes can be gathered.
#[inline]
pub(super) fn fits<T: Transport>(entry: &StreamEntry<T>, length: usize) -> bool {
    entry.gathered() + length <= GATHER_LIMIT
}

/// The states in which written bytes are not gathered, or not by a copy alone.
const SLOW_GATHER: StreamFlags = StreamFlags::BLOCKED
    .union(StreamFlags::CLOSING)
    .union(StreamFlags::ENDING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::FILES)
    .union(StreamFlags::FULL)
    .union(StreamFlags::OVERFLOW)
    .union(StreamFlags::WRITE_ENDED);

/// Gathers a short write in the normal state; returns `None` and accepts nothing in any other state.
#[inline]
pub(super) fn gather_slice<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    bytes: &[u8],
) -> Option<bool> {
    if !entry.flags.contains(StreamFlags::FILTERED) || entry.flags.intersects(SLOW_GATHER) {
        return None;
    }
    let queued = entry.queue.as_ref().map_or(0, |queue| queue.len());
    let length = entry.gathered() + bytes.len();
    if bytes.is_empty() || length > GATHER_LIMIT || queued + length >= entry.soft_limit as usize {
        return None;
    }
    let extended = entry.extended.as_mut()?;
    extended
        .gathered
        .get_or_insert_with(queue_pool::take)
        .push_with(|buffer| buffer.extend_from_slice(bytes));
    entry.flags.insert(StreamFlags::GATHERED);
    entry.schedule_flush(id);
    Some(true)
}

/// Gathers the bytes that `f` appends to a buffer.
pub(super) fn gather<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    f: impl FnOnce(&mut Vec<u8>),
) -> GatherOutcome {
    if output::overflows(entry, id) {
        return GatherOutcome::Accepted(false);
    }
    let extended = entry.extended.get_or_insert_default();
    let gathered = extended.gathered.get_or_insert_with(queue_pool::take);
    gathered.push_with(f);
    let length = gathered.len();
    if length == 0 {
        queue_pool::put_back(extended.gathered.take());
        return GatherOutcome::Accepted(!entry.flags.contains(StreamFlags::FULL));
    }
    entry.flags.insert(StreamFlags::GATHERED);
    let full = entry.is_full();
    let blocked = entry.flags.contains(StreamFlags::BLOCKED);
    if !blocked {
        entry.schedule_flush(id);
    }
    if length > GATHER_LIMIT || (full && !blocked) {
        return GatherOutcome::Full;
    }
    if full {
        entry.flags.insert(StreamFlags::FULL);
    }
    GatherOutcome::Accepted(!full)
}

/// Fills the gathered bytes up with the beginning of a chunk that does not fit; returns `false` if nothing is accepted.
pub(super) fn fill_up<T: Transport>(entry: &mut StreamEntry<T>, id: Id, bytes: &mut Bytes) -> bool {
    if output::overflows(entry, id) {
        return false;
    }
    let room = GATHER_LIMIT.saturating_sub(entry.gathered());
    if entry.flags.contains(StreamFlags::GATHERED)
        && let Some(gathered) = entry.extended().gathered.as_mut()
    {
        let first = bytes.split_to(room.min(bytes.len()));
        gathered.push_with(|buffer| buffer.extend_from_slice(&first));
    }
    true
}

/// Takes the gathered bytes, for the filters.
#[inline]
pub(super) fn take<T: Transport>(entry: &mut StreamEntry<T>) -> Option<Box<WriteQueue>> {
    if !entry.flags.take(StreamFlags::GATHERED) {
        return None;
    }
    entry.extended().gathered.take()
}
