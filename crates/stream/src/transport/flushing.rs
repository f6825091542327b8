//! Writing to a stream, and flushing its queue.

use bytes::Bytes;
use rustix::io::Errno;
use uptick_event_loop::Id;

use super::flags::StreamFlags;
use super::gathering::{self, GatherOutcome};
use super::stream::{Visit, hold, with_entry};
use super::{
    StreamEntry, Transport, deadlines, ending, files, filtering, output, sending, session,
    write_errors,
};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::file_range::FileRange;
use crate::write_queue::COPY_LIMIT;

/// The states in which a write is more than an append to the queue.
const SLOW_WRITE: StreamFlags = StreamFlags::WRITE_ENDED
    .union(StreamFlags::CLOSING)
    .union(StreamFlags::ENDING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::FILTERED);

#[inline]
pub(super) fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    let slice = chunk.as_slice();
    let accepted = with_entry(stream, |entry, id| {
        if slice.len() > COPY_LIMIT {
            return None;
        }
        match entry.flags.intersects(SLOW_WRITE) {
            true => gathering::gather_slice(entry, id, slice),
            false => Some(output::append(entry, id, slice)),
        }
    });
    match accepted {
        Some(Some(accepted)) => accepted,
        Some(None) => hold(stream).is_some_and(|stream| write_slow(&stream, chunk)),
        None => false,
    }
}

#[inline(never)]
fn write_slow<T: Transport>(stream: &Visit<T>, chunk: impl Chunk) -> bool {
    let slice = chunk.as_slice();
    let gathered = stream.with(|entry, id| {
        if !entry.is_writable() {
            return Some(GatherOutcome::Accepted(false));
        }
        let fits =
            entry.flags.contains(StreamFlags::FILTERED) && gathering::fits(entry, slice.len());
        fits.then(|| gathering::gather(entry, id, |buffer| buffer.extend_from_slice(slice)))
    });
    match gathered {
        Some(Some(GatherOutcome::Accepted(accepted))) => accepted,
        Some(Some(GatherOutcome::Full)) => filter(stream),
        Some(None) if stream.flags().contains(StreamFlags::FILTERED) => {
            write_filtered(stream, chunk.into_bytes())
        }
        // Long chunks are queued without a copy.
        Some(None) => {
            let bytes = chunk.into_bytes();
            let accepted = stream.with(|entry, id| output::append(entry, id, bytes));
            accepted.unwrap_or(false)
        }
        None => false,
    }
}

/// Appends to the write queue the bytes that `f` appends to a buffer; the buffer may already hold bytes. Returns `None`
/// without calling `f` if the stream is not writable.
#[inline]
pub(super) fn write_with<T: Transport>(
    stream: &Visit<T>,
    f: impl FnOnce(&mut Vec<u8>),
) -> Option<bool> {
    let written = stream.with(|entry, id| {
        if !entry.is_writable() {
            return None;
        }
        Some(match entry.flags.contains(StreamFlags::FILTERED) {
            true => gathering::gather(entry, id, f),
            false => {
                GatherOutcome::Accepted(output::append_to(entry, id, |queue| queue.push_with(f)))
            }
        })
    });
    Some(match written.flatten()? {
        GatherOutcome::Accepted(accepted) => accepted,
        GatherOutcome::Full => filter(stream),
    })
}

/// Like [`write_with`], if `allows` returns `true`; otherwise returns `None`.
///
/// The stream is looked up once.
#[inline]
pub(super) fn write_if<T: Transport>(
    stream: T,
    allows: impl FnOnce(&StreamEntry<T>) -> bool,
    f: impl FnOnce(&mut Vec<u8>),
) -> Option<bool> {
    let mut f = Some(f);
    let written = with_entry(stream, |entry, id| {
        if !allows(entry) {
            return None;
        }
        if entry.flags.intersects(SLOW_WRITE) {
            return Some(None);
        }
        let f = f.take()?;
        Some(Some(output::append_to(entry, id, |queue| {
            queue.push_with(f)
        })))
    });
    match written.flatten()? {
        None => write_with(&hold(stream)?, f?),
        accepted => accepted,
    }
}

/// Appends a file; returns it if it cannot be sent with `sendfile`.
pub(super) fn write_file<T: Transport>(stream: T, range: FileRange) -> Result<bool, FileRange> {
    let mut range = Some(range);
    let accepted = with_entry(stream, |entry, id| {
        let range = range.take()?;
        if !entry.is_writable() {
            return Some(Ok(false));
        }
        let appended = files::append(entry, id, range);
        Some(appended.map(|accepted| accepted && output::appended(entry, id)))
    });
    accepted.flatten().unwrap_or(Ok(false))
}

/// Writes a chunk that does not fit into the gathered bytes: they are filled up with its beginning, and the rest is not
/// copied.
fn write_filtered<T: Transport>(stream: &Visit<T>, mut bytes: Bytes) -> bool {
    let accepted = stream.with(|entry, id| gathering::fill_up(entry, id, &mut bytes));
    if accepted != Some(true) {
        return false;
    }
    let follow_up = filtering::send(stream, bytes);
    ending::finish_pass(stream, follow_up);
    accepts_more(stream)
}

/// Passes the gathered bytes through the filters now; returns `false` if the writer should wait for `drain`.
fn filter<T: Transport>(stream: &Visit<T>) -> bool {
    let follow_up = filtering::flush(stream);
    ending::finish_pass(stream, follow_up);
    accepts_more(stream)
}

fn accepts_more<T: Transport>(stream: &Visit<T>) -> bool {
    let accepts =
        stream.with(|entry, _| entry.is_writable() && !entry.flags.contains(StreamFlags::FULL));
    accepts == Some(true)
}

/// The outcome of a flush.
#[derive(Default)]
struct FlushOutcome {
    error: Option<Error>,
    drain: bool,
    finished: bool,
}

/// Sends the queue.
///
/// A flush costs one system call for everything written, also with filters; none if the queue is empty.
#[inline(always)]
pub(super) fn flush<T: Transport>(stream: &Visit<T>) {
    if !flush_fast(stream) {
        flush_slow(stream);
    }
}

/// Sends the queue of a stream in the normal state; returns `false`, and sends nothing, in any other state.
#[inline(always)]
fn flush_fast<T: Transport>(stream: &Visit<T>) -> bool {
    let sent = stream.with(|entry, id| match entry.flags.intersects(SLOW_FLUSH) {
        true => SendOutcome::Slow,
        false => send(entry, id),
    });
    match sent {
        Some(SendOutcome::All) | None => true,
        Some(SendOutcome::Failed(errno)) => {
            write_errors::fail(stream, Error::write(errno));
            true
        }
        Some(SendOutcome::Slow) => false,
    }
}

/// The outcome of a send in the normal state.
enum SendOutcome {
    /// No further work is left.
    All,
    Failed(Errno),
    Slow,
}

/// Sends the queue of a stream in the normal state.
#[inline(always)]
fn send<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> SendOutcome {
    entry.flags.remove(StreamFlags::FLUSH_QUEUED);
    match sending::send_tail(entry) {
        Ok(true) => SendOutcome::All,
        Ok(false) => send_rest(entry, id),
        Err(errno) => SendOutcome::Failed(errno),
    }
}

/// Sends the rest of a queue that one send has not emptied.
#[cold]
fn send_rest<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> SendOutcome {
    if entry.flags.contains(StreamFlags::BLOCKED) {
        // After a partial send, the socket is full: a further send would only fail with `EAGAIN`.
        deadlines::blocked(entry, id);
        return SendOutcome::All;
    }
    match output::send_queue(entry, id) {
        Ok(()) => SendOutcome::All,
        Err(error) => SendOutcome::Failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn flush_slow<T: Transport>(stream: &Visit<T>) {
    let filters = stream.with(|entry, _| {
        let filters =
            entry.flags.contains(StreamFlags::GATHERED) && !entry.flags.intersects(FILTERS_BLOCKED);
        // The bytes that the filters send are flushed right after.
        entry.flags.set(StreamFlags::FLUSH_QUEUED, filters);
        filters
    });
    if filters == Some(true) {
        let follow_up = filtering::flush(stream);
        ending::finish_pass(stream, follow_up);
        if flush_fast(stream) {
            return;
        }
    }
    if let Some(outcome) = stream.with(send_slow) {
        finish_flush(stream, outcome);
    }
}

/// The states in which a flush does not run the filters.
const FILTERS_BLOCKED: StreamFlags = StreamFlags::BLOCKED
    .union(StreamFlags::CLOSING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::FILTERING)
    .union(StreamFlags::OVERFLOW);

/// The states in which a flush is more than one send.
const SLOW_FLUSH: StreamFlags = StreamFlags::BLOCKED
    .union(StreamFlags::CLOSING)
    .union(StreamFlags::ENDING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::FILES)
    .union(StreamFlags::FULL)
    .union(StreamFlags::GATHERED)
    .union(StreamFlags::JOBS)
    .union(StreamFlags::OVERFLOW)
    .union(StreamFlags::SHUTDOWN_PENDING);

#[cold]
fn send_slow<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> FlushOutcome {
    entry.flags.remove(StreamFlags::FLUSH_QUEUED);
    let mut outcome = FlushOutcome::default();
    if entry.flags.contains(StreamFlags::CLOSING) {
        return outcome;
    }
    if entry.flags.contains(StreamFlags::OVERFLOW) {
        outcome.error = Some(Error::BufferFull {
            limit: entry.hard_limit as usize,
        });
        return outcome;
    }
    if entry.flags.contains(StreamFlags::FAILED) {
        // The final bytes of a filter are sent before the error is emitted.
        let _ = output::send_queue(entry, id);
        outcome.error = entry.extended().failure.take();
        return outcome;
    }
    if !entry.flags.contains(StreamFlags::BLOCKED)
        && let Err(error) = output::send_queue(entry, id)
    {
        outcome.error = Some(Error::write(error));
        return outcome;
    }
    outcome.finished = entry.is_flushed()
        && entry
            .flags
            .intersects(StreamFlags::ENDING | StreamFlags::SHUTDOWN_PENDING);
    if entry.flags.contains(StreamFlags::FULL) && !entry.is_full() {
        entry.flags.remove(StreamFlags::FULL);
        outcome.drain = entry.is_writable();
    }
    outcome
}

fn finish_flush<T: Transport>(stream: &Visit<T>, outcome: FlushOutcome) {
    if let Some(error) = outcome.error {
        return write_errors::fail(stream, error);
    }
    if outcome.drain {
        session::drain(stream);
    }
    if outcome.finished {
        ending::finish_write_side(stream);
    }
}
