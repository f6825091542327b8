//! Writing, and the flush of what was written.

use bytes::Bytes;
use rustix::io::Errno;
use uptick_event_loop::Id;

use super::flags::Flags;
use super::gathering::{self, Gathered};
use super::stream::{Visit, hold, with_entry};
use super::{
    Entry, Transport, closing, deadlines, ending, files, filtering, output, sending, session,
};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::file_range::FileRange;
use crate::write_queue::COPY_LIMIT;

/// States in which a write is more than an append to the queue.
const SPECIAL_WRITE: Flags = Flags::WRITE_OVER
    .union(Flags::CLOSING)
    .union(Flags::ENDING)
    .union(Flags::FAILED)
    .union(Flags::FILTERED);

#[inline]
pub(super) fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    let slice = chunk.as_slice();
    let taken = with_entry(stream, |entry, id| {
        if slice.len() > COPY_LIMIT {
            return None;
        }
        match entry.flags.intersects(SPECIAL_WRITE) {
            true => gathering::gather_short(entry, id, slice),
            false => Some(output::append(entry, id, slice)),
        }
    });
    match taken {
        Some(Some(taken)) => taken,
        Some(None) => hold(stream).is_some_and(|stream| write_specially(&stream, chunk)),
        None => false,
    }
}

#[inline(never)]
fn write_specially<T: Transport>(stream: &Visit<T>, chunk: impl Chunk) -> bool {
    let slice = chunk.as_slice();
    let gathered = stream.with(|entry, id| {
        if !entry.is_writable() {
            return Some(Gathered::Taken(false));
        }
        let fits = entry.flags.contains(Flags::FILTERED) && gathering::fits(entry, slice.len());
        fits.then(|| gathering::gather(entry, id, |buffer| buffer.extend_from_slice(slice)))
    });
    match gathered {
        Some(Some(Gathered::Taken(taken))) => taken,
        Some(Some(Gathered::Enough)) => filter(stream),
        Some(None) if stream.flags().contains(Flags::FILTERED) => {
            write_filtered(stream, chunk.into_bytes())
        }
        // Long chunks are kept as they are.
        Some(None) => {
            let bytes = chunk.into_bytes();
            let taken = stream.with(|entry, id| output::append(entry, id, bytes));
            taken.unwrap_or(false)
        }
        None => false,
    }
}

/// Appends to the write queue what `f` appends to a buffer that may hold bytes already; `None`, and `f` not called, when the
/// stream takes nothing.
#[inline]
pub(super) fn write_with<T: Transport>(
    stream: &Visit<T>,
    f: impl FnOnce(&mut Vec<u8>),
) -> Option<bool> {
    let written = stream.with(|entry, id| {
        if !entry.is_writable() {
            return None;
        }
        Some(match entry.flags.contains(Flags::FILTERED) {
            true => gathering::gather(entry, id, f),
            false => Gathered::Taken(output::append_to(entry, id, |queue| queue.push_with(f))),
        })
    });
    Some(match written.flatten()? {
        Gathered::Taken(taken) => taken,
        Gathered::Enough => filter(stream),
    })
}

/// Appends what `f` appends, if `allows` returns true; `None` as [`write_with`], or when it does not.
///
/// Cost: the stream is looked up once.
#[inline]
pub(super) fn write_if<T: Transport>(
    stream: T,
    allows: impl FnOnce(&Entry<T>) -> bool,
    f: impl FnOnce(&mut Vec<u8>),
) -> Option<bool> {
    let mut f = Some(f);
    let written = with_entry(stream, |entry, id| {
        if !allows(entry) {
            return None;
        }
        if entry.flags.intersects(SPECIAL_WRITE) {
            return Some(None);
        }
        let f = f.take()?;
        Some(Some(output::append_to(entry, id, |queue| {
            queue.push_with(f)
        })))
    });
    match written.flatten()? {
        None => write_with(&hold(stream)?, f?),
        taken => taken,
    }
}

/// Appends a file; gives it back when it cannot be sent by the kernel.
pub(super) fn write_file<T: Transport>(stream: T, range: FileRange) -> Result<bool, FileRange> {
    let mut range = Some(range);
    let taken = with_entry(stream, |entry, id| {
        let range = range.take()?;
        if !entry.is_writable() {
            return Some(Ok(false));
        }
        let appended = files::append(entry, id, range);
        Some(appended.map(|taken| taken && output::appended(entry, id)))
    });
    taken.flatten().unwrap_or(Ok(false))
}

/// Writes a chunk that does not fit to what is gathered: that is filled up with it, and the rest is not copied.
fn write_filtered<T: Transport>(stream: &Visit<T>, mut bytes: Bytes) -> bool {
    let taken = stream.with(|entry, id| gathering::fill_up(entry, id, &mut bytes));
    if taken != Some(true) {
        return false;
    }
    let after = filtering::send(stream, bytes);
    ending::after(stream, after);
    takes_more(stream)
}

/// Passes what was gathered through the filters now; `false` when the writer should wait for `drain`.
fn filter<T: Transport>(stream: &Visit<T>) -> bool {
    let after = filtering::flush(stream);
    ending::after(stream, after);
    takes_more(stream)
}

fn takes_more<T: Transport>(stream: &Visit<T>) -> bool {
    let takes = stream.with(|entry, _| entry.is_writable() && !entry.flags.contains(Flags::FULL));
    takes == Some(true)
}

/// The outcome of a flush.
#[derive(Default)]
struct Flushed {
    error: Option<Error>,
    drain: bool,
    over: bool,
}

/// Sends what waits.
///
/// Cost: one system call for all that was written, also through filters; none when nothing waits.
#[inline(always)]
pub(super) fn flush<T: Transport>(stream: &Visit<T>) {
    if !flush_ordinarily(stream) {
        flush_specially(stream);
    }
}

/// Sends what waits of a stream in the ordinary state; returns `false`, and sends nothing, in any other.
#[inline(always)]
fn flush_ordinarily<T: Transport>(stream: &Visit<T>) -> bool {
    let sent = stream.with(|entry, id| match entry.flags.intersects(SPECIAL) {
        true => Sent::Special,
        false => send(entry, id),
    });
    match sent {
        Some(Sent::All) | None => true,
        Some(Sent::Failed(errno)) => {
            closing::fail(stream, Error::write(errno));
            true
        }
        Some(Sent::Special) => false,
    }
}

/// The outcome of a send in the ordinary state.
enum Sent {
    /// There is nothing left to do.
    All,
    Failed(Errno),
    Special,
}

/// Sends the queue of a stream in the ordinary state.
#[inline(always)]
fn send<T: Transport>(entry: &mut Entry<T>, id: Id) -> Sent {
    entry.flags.remove(Flags::FLUSH_QUEUED);
    match sending::send_run(entry) {
        Ok(true) => Sent::All,
        Ok(false) => send_rest(entry, id),
        Err(errno) => Sent::Failed(errno),
    }
}

/// Sends a queue that one send does not empty.
#[cold]
fn send_rest<T: Transport>(entry: &mut Entry<T>, id: Id) -> Sent {
    if entry.flags.contains(Flags::BLOCKED) {
        // The socket has taken a part: a further send would only say that it is full.
        deadlines::blocked(entry, id);
        return Sent::All;
    }
    match output::send_queue(entry, id) {
        Ok(()) => Sent::All,
        Err(error) => Sent::Failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn flush_specially<T: Transport>(stream: &Visit<T>) {
    let filters = stream.with(|entry, _| {
        let filters = entry.flags.contains(Flags::GATHERED) && !entry.flags.intersects(UNABLE);
        // What the filters send goes out right after.
        entry.flags.set(Flags::FLUSH_QUEUED, filters);
        filters
    });
    if filters == Some(true) {
        let after = filtering::flush(stream);
        ending::after(stream, after);
        if flush_ordinarily(stream) {
            return;
        }
    }
    if let Some(flushed) = stream.with(send_specially) {
        settle(stream, flushed);
    }
}

/// States in which the filters are not passed by a flush.
const UNABLE: Flags = Flags::BLOCKED
    .union(Flags::CLOSING)
    .union(Flags::FAILED)
    .union(Flags::FILTERING)
    .union(Flags::OVERFLOW);

/// States in which a flush has more to do than one send.
const SPECIAL: Flags = Flags::BLOCKED
    .union(Flags::CLOSING)
    .union(Flags::ENDING)
    .union(Flags::FAILED)
    .union(Flags::FILES)
    .union(Flags::FULL)
    .union(Flags::GATHERED)
    .union(Flags::JOBS)
    .union(Flags::OVERFLOW)
    .union(Flags::SHUTTING);

#[cold]
fn send_specially<T: Transport>(entry: &mut Entry<T>, id: Id) -> Flushed {
    entry.flags.remove(Flags::FLUSH_QUEUED);
    let mut flushed = Flushed::default();
    if entry.flags.contains(Flags::CLOSING) {
        return flushed;
    }
    if entry.flags.contains(Flags::OVERFLOW) {
        flushed.error = Some(Error::BufferFull {
            limit: entry.hard_limit as usize,
        });
        return flushed;
    }
    if entry.flags.contains(Flags::FAILED) {
        // A filter's last words go out before.
        let _ = output::send_queue(entry, id);
        flushed.error = entry.rare().failure.take();
        return flushed;
    }
    if !entry.flags.contains(Flags::BLOCKED)
        && let Err(error) = output::send_queue(entry, id)
    {
        flushed.error = Some(Error::write(error));
        return flushed;
    }
    flushed.over = entry.is_flushed() && entry.flags.intersects(Flags::ENDING | Flags::SHUTTING);
    if entry.flags.contains(Flags::FULL) && !entry.is_full() {
        entry.flags.remove(Flags::FULL);
        flushed.drain = entry.is_writable();
    }
    flushed
}

fn settle<T: Transport>(stream: &Visit<T>, flushed: Flushed) {
    if let Some(error) = flushed.error {
        return closing::fail(stream, error);
    }
    if flushed.drain {
        session::drain(stream);
    }
    if flushed.over {
        ending::queue_is_empty(stream);
    }
}
