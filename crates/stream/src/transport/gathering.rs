//! Writing to a stream with filters: what is written in pieces is gathered, so that the filters get it in one.
//!
//! It passes through them when the callback that wrote it has returned, at the end of the iteration, or when there is
//! enough of it; before that, when something else is to pass in its direction or comes from below. So the order is kept.
//!
//! Cost of a piece: one copy. The buffer is one of those that drained streams have left.

use bytes::Bytes;
use uptick_event_loop::Token;

use super::flags::Flags;
use super::{Entry, Spare, Transport, filtering, with_entry, writing};
use crate::filter::Passage;
use crate::write_queue::WriteQueue;

/// How much is gathered: 16 KiB, as much as one TLS record takes.
const ENOUGH: usize = 16 * 1024;

/// What has become of what was written.
pub(super) enum Gathered {
    /// It is taken; `false` when the caller should wait for `drain`.
    Taken(bool),
    /// It is taken, and [`press`] is to be called.
    Enough,
}

/// Whether that much more can be gathered.
#[inline]
pub(super) fn fits<T: Transport>(entry: &Entry<T>, length: usize) -> bool {
    entry.gathered() + length <= ENOUGH
}

/// Gathers what `f` appends to a buffer.
pub(super) fn gather<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
    f: impl FnOnce(&mut Vec<u8>),
) -> Gathered {
    if writing::overflows(entry, token) {
        return Gathered::Taken(false);
    }
    let rare = entry.rare.get_or_insert_default();
    let gathered = rare.gathered.get_or_insert_with(|| spare.queue());
    gathered.push_with(f);
    let length = gathered.len();
    if length == 0 {
        writing::recycle(rare.gathered.take(), spare);
        return Gathered::Taken(!entry.flags.contains(Flags::FULL));
    }
    entry.flags.insert(Flags::GATHERED);
    let full = entry.is_full();
    let blocked = entry.flags.contains(Flags::BLOCKED);
    if !blocked {
        writing::queue_flush(entry, token);
    }
    if length > ENOUGH || (full && !blocked) {
        return Gathered::Enough;
    }
    if full {
        entry.flags.insert(Flags::FULL);
    }
    Gathered::Taken(!full)
}

/// Writes a chunk that does not fit: what is gathered is filled up with it, and the rest is not copied.
pub(super) fn write_long<T: Transport>(stream: T, mut bytes: Bytes) -> bool {
    let taken = with_entry(stream, |entry, token| {
        if writing::overflows(entry, token) {
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
    });
    if taken != Some(true) {
        return false;
    }
    filtering::pass(stream, Some(Passage::Sending(bytes)));
    takes_more(stream)
}

/// Has what was gathered pass through the filters now; `false` when the caller should wait for `drain`.
pub(super) fn press<T: Transport>(stream: T) -> bool {
    filtering::pass(stream, None);
    takes_more(stream)
}

/// Takes what was gathered, for the filters.
#[inline]
pub(super) fn take<T: Transport>(entry: &mut Entry<T>) -> Option<Box<WriteQueue>> {
    if !entry.flags.take(Flags::GATHERED) {
        return None;
    }
    entry.rare().gathered.take()
}

fn takes_more<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        entry.is_writable() && !entry.flags.contains(Flags::FULL)
    })
    .unwrap_or(false)
}
