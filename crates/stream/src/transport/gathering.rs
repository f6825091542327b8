//! Writing to a stream with filters: what is written in pieces is gathered, so that the filters get it in one.
//!
//! It passes through them at the end of the visit during which it was written, otherwise at the end of the iteration, or when
//! there is enough of it; before that, when something else is to pass in its direction or comes from below. So the order is kept.
//!
//! Cost of a piece: one copy. The buffer is one of those that drained streams have left.

use bytes::Bytes;
use uptick_event_loop::Id;

use super::flags::Flags;
use super::{Entry, Transport, output};
use crate::queue_pool;
use crate::write_queue::WriteQueue;

/// The number of bytes that are gathered: 16 KiB, as many as one TLS record takes.
const ENOUGH: usize = 16 * 1024;

/// The outcome of gathering.
pub(super) enum Gathered {
    /// The bytes are taken; `false` when the writer should wait for `drain`.
    Taken(bool),
    /// The bytes are taken, and everything gathered is to pass the filters now.
    Enough,
}

/// Returns whether that many bytes more can be gathered.
#[inline]
pub(super) fn fits<T: Transport>(entry: &Entry<T>, length: usize) -> bool {
    entry.gathered() + length <= ENOUGH
}

/// States in which written bytes are not gathered, or not by a copy alone.
const SPECIAL: Flags = Flags::BLOCKED
    .union(Flags::CLOSING)
    .union(Flags::ENDING)
    .union(Flags::FAILED)
    .union(Flags::FILES)
    .union(Flags::FULL)
    .union(Flags::OVERFLOW)
    .union(Flags::WRITE_OVER);

/// Gathers a few bytes in the ordinary state; returns `None`, and takes nothing, in any other.
#[inline]
pub(super) fn gather_short<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    bytes: &[u8],
) -> Option<bool> {
    if !entry.flags.contains(Flags::FILTERED) || entry.flags.intersects(SPECIAL) {
        return None;
    }
    let queued = entry.queue.as_ref().map_or(0, |queue| queue.len());
    let length = entry.gathered() + bytes.len();
    if bytes.is_empty() || length > ENOUGH || queued + length >= entry.soft_limit as usize {
        return None;
    }
    let rare = entry.rare.as_mut()?;
    rare.gathered
        .get_or_insert_with(queue_pool::take)
        .push_with(|buffer| buffer.extend_from_slice(bytes));
    entry.flags.insert(Flags::GATHERED);
    entry.schedule_flush(id);
    Some(true)
}

/// Gathers what `f` appends to a buffer.
pub(super) fn gather<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    f: impl FnOnce(&mut Vec<u8>),
) -> Gathered {
    if output::overflows(entry, id) {
        return Gathered::Taken(false);
    }
    let rare = entry.rare.get_or_insert_default();
    let gathered = rare.gathered.get_or_insert_with(queue_pool::take);
    gathered.push_with(f);
    let length = gathered.len();
    if length == 0 {
        queue_pool::put_back(rare.gathered.take());
        return Gathered::Taken(!entry.flags.contains(Flags::FULL));
    }
    entry.flags.insert(Flags::GATHERED);
    let full = entry.is_full();
    let blocked = entry.flags.contains(Flags::BLOCKED);
    if !blocked {
        entry.schedule_flush(id);
    }
    if length > ENOUGH || (full && !blocked) {
        return Gathered::Enough;
    }
    if full {
        entry.flags.insert(Flags::FULL);
    }
    Gathered::Taken(!full)
}

/// Fills up what is gathered with the beginning of a chunk that does not fit; `false` when nothing is taken.
pub(super) fn fill_up<T: Transport>(entry: &mut Entry<T>, id: Id, bytes: &mut Bytes) -> bool {
    if output::overflows(entry, id) {
        return false;
    }
    let room = ENOUGH.saturating_sub(entry.gathered());
    if entry.flags.contains(Flags::GATHERED)
        && let Some(gathered) = entry.rare().gathered.as_mut()
    {
        let first = bytes.split_to(room.min(bytes.len()));
        gathered.push_with(|buffer| buffer.extend_from_slice(&first));
    }
    true
}

/// Takes what was gathered, for the filters.
#[inline]
pub(super) fn take<T: Transport>(entry: &mut Entry<T>) -> Option<Box<WriteQueue>> {
    if !entry.flags.take(Flags::GATHERED) {
        return None;
    }
    entry.rare().gathered.take()
}
