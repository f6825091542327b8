//! Writing: the queue and its way out.

use std::io::{self, IoSlice};

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use uptick_emitter::{Begun, emit_rest};
use uptick_event_loop::{Token, driver};

use super::filtering::Taken;
use super::flags::Flags;
use super::gathering::Gathered;
use super::{
    Entry, Spare, Transport, Transports, deadlines, ending, files, filtering, gathering, jobs,
    protocol,
};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::write_queue::{COPIED, WriteQueue};

/// How many pieces one system call sends.
const PIECES: usize = 64;

/// Has the kernel wait for what follows before it sends a part of a packet.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MORE: SendFlags = SendFlags::MORE;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MORE: SendFlags = SendFlags::empty();

#[inline]
pub(super) fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    let slice = chunk.as_slice();
    let written = T::with_transports(|all| {
        let token = all.token(stream.to_id());
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        Some(if !entry.is_writable() {
            Written::Done(false)
        } else if entry.flags.contains(Flags::FILTERED) {
            match gathering::fits(entry, slice.len()) {
                true => {
                    let gather = |buffer: &mut Vec<u8>| buffer.extend_from_slice(slice);
                    Written::Gathered(gathering::gather(entry, token, spare, gather))
                }
                false => Written::Filtered,
            }
        } else if slice.len() > COPIED {
            Written::Long
        } else {
            Written::Done(append(entry, token, spare, slice))
        })
    });
    match written.flatten() {
        Some(Written::Done(taken)) => taken,
        Some(Written::Gathered(Gathered::Taken(taken))) => taken,
        Some(Written::Gathered(Gathered::Enough)) => gathering::press(stream),
        Some(Written::Filtered) => gathering::write_long(stream, chunk.into_bytes()),
        Some(Written::Long) => write_long(stream, chunk.into_bytes()),
        None => false,
    }
}

/// What has become of a chunk at first sight.
enum Written {
    Done(bool),
    /// It waits for the filters.
    Gathered(Gathered),
    /// It is to go through the filters as it is.
    Filtered,
    /// It is to be kept as it is.
    Long,
}

fn write_long<T: Transport>(stream: T, bytes: Bytes) -> bool {
    let taken = T::with_transports(|all| {
        let token = all.token(stream.to_id());
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        Some(append(entry, token, spare, bytes))
    });
    taken.flatten().unwrap_or(false)
}

/// Appends to the queue and has it flushed; `false` when the soft limit is reached.
#[inline]
pub(super) fn append<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
    chunk: impl Chunk,
) -> bool {
    if entry.flags.contains(Flags::FILES) && !chunk.as_slice().is_empty() {
        return files::append_behind(entry, token, |queue| queue.push(chunk));
    }
    let queue = entry.queue.get_or_insert_with(|| spare.queue());
    if queue.len() >= entry.hard_limit as usize && !chunk.as_slice().is_empty() {
        overflow(entry, token);
        return false;
    }
    queue.push(chunk);
    appended(entry, token)
}

/// Appends what `f` appends to the queue's buffer; see [`append`].
#[inline]
pub(super) fn append_with<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
    f: impl FnOnce(&mut Vec<u8>),
) -> bool {
    if entry.flags.contains(Flags::FILES) {
        return files::append_behind(entry, token, |queue| queue.push_with(f));
    }
    let queue = entry.queue.get_or_insert_with(|| spare.queue());
    if queue.len() >= entry.hard_limit as usize {
        overflow(entry, token);
        return false;
    }
    queue.push_with(f);
    if queue.is_empty() {
        recycle(entry.queue.take(), spare);
        return true;
    }
    appended(entry, token)
}

/// Appends everything from another queue; see [`append`].
pub(super) fn append_all<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
    chunks: &mut WriteQueue,
) {
    if chunks.is_empty() {
        return;
    }
    if entry.flags.contains(Flags::FILES) {
        files::append_behind(entry, token, |queue| queue.append(chunks));
        return;
    }
    let queue = entry.queue.get_or_insert_with(|| spare.queue());
    if queue.len() >= entry.hard_limit as usize {
        overflow(entry, token);
        return;
    }
    queue.append(chunks);
    appended(entry, token);
}

/// More is to be written than the hard limit allows.
#[cold]
pub(super) fn overflow<T: Transport>(entry: &mut Entry<T>, token: Token) {
    entry.flags.insert(Flags::OVERFLOW | Flags::FULL);
    queue_flush(entry, token);
}

/// Whether so much waits that nothing more is taken: the stream fails then.
pub(super) fn overflows<T: Transport>(entry: &mut Entry<T>, token: Token) -> bool {
    let overflows = entry.queued() >= entry.hard_limit as usize;
    if overflows {
        overflow(entry, token);
    }
    overflows
}

/// Something was appended to the queue: has it flushed; `false` when the soft limit is reached, or files wait.
#[inline]
pub(super) fn appended<T: Transport>(entry: &mut Entry<T>, token: Token) -> bool {
    if entry.is_flushed() {
        return true;
    }
    let mut full = entry.is_full();
    if !entry.flags.intersects(Flags::BLOCKED | Flags::FAILED) {
        queue_flush(entry, token);
        if full {
            if let Err(error) = send_queue(entry, token) {
                // The system tells of a reset once: here it would be lost, and the next read would find an end.
                fail_later(entry, token, Error::write(error));
            }
            full = entry.is_full();
        }
    }
    if full {
        entry.flags.insert(Flags::FULL);
    }
    !full
}

#[inline]
pub(super) fn queue_flush<T: Transport>(entry: &mut Entry<T>, token: Token) {
    if !entry.flags.contains(Flags::FLUSH_QUEUED) {
        entry.flags.insert(Flags::FLUSH_QUEUED);
        driver::flush_later(token);
    }
}

/// The poller says that there is room.
#[inline]
pub(super) fn writable<T: Transport>(stream: T) {
    let was_blocked =
        super::with_entry(stream, |entry, _| entry.flags.take(Flags::BLOCKED)).unwrap_or(false);
    if was_blocked {
        flush(stream);
    }
}

/// The iteration ends.
#[inline]
pub(super) fn flush_queued<T: Transport>(token: Token) {
    let flushing = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let (id, entry) = table.find_mut(token)?;
        Some((T::from_id(id), flush_quickly(entry, token, spare)))
    });
    if let Some(Some((stream, flushing))) = flushing {
        finish(stream, flushing);
    }
}

/// The only `data` listener has returned: its emission is over, and what it has written goes out.
#[inline]
pub(super) fn complete_and_flush<T: Transport>(stream: T, token: Token, emission: Begun) {
    let mut emission = Some(emission);
    let flushing = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let (_, entry) = table.find_mut(token)?;
        entry.listeners.complete(&mut emission);
        Some(flush_quickly(entry, token, spare))
    });
    if let Some(rest) = emission {
        emit_rest(&stream, T::DATA, rest);
    }
    if let Some(Some(flushing)) = flushing {
        finish(stream, flushing);
    }
}

/// What is left to be done of a flush.
pub(super) enum Flushing {
    /// Nothing, as a rule.
    Done,
    Settle(Flushed),
    /// What was gathered is to pass through the filters first.
    Filter(Taken, Box<WriteQueue>),
}

/// Does what is left to be done of a flush.
#[inline]
pub(super) fn finish<T: Transport>(stream: T, flushing: Flushing) {
    match flushing {
        Flushing::Done => {}
        Flushing::Settle(flushed) => settle(stream, flushed),
        Flushing::Filter(taken, gathered) => filtering::flush(stream, taken, gathered),
    }
}

/// Sends the queue; gives what there is to do about it, nothing as a rule.
#[inline]
pub(super) fn flush_quickly<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
) -> Flushing {
    let unable =
        Flags::BLOCKED | Flags::CLOSING | Flags::FAILED | Flags::FILTERING | Flags::OVERFLOW;
    if entry.flags.contains(Flags::GATHERED)
        && !entry.flags.intersects(unable)
        && let Some(gathered) = gathering::take(entry)
    {
        // What the filters send goes out right after.
        entry.flags.insert(Flags::FLUSH_QUEUED);
        return Flushing::Filter(filtering::take(entry, spare, true), gathered);
    }
    entry.flags.remove(Flags::FLUSH_QUEUED);
    match send_whole(entry, spare) {
        Sent::Whole => Flushing::Done,
        Sent::Rest => Flushing::Settle(flush_entry(entry, token, spare)),
        Sent::Failed(errno) => Flushing::Settle(Flushed {
            error: Some(Error::write(errno)),
            ..Flushed::default()
        }),
    }
}

enum Sent {
    /// There is nothing left to do.
    Whole,
    /// The stream is not in the ordinary state, or not everything went: that is for [`flush_entry`].
    Rest,
    Failed(Errno),
}

/// Sends the queue of a socket in the ordinary state.
#[inline]
fn send_whole<T: Transport>(entry: &mut Entry<T>, spare: &mut Spare) -> Sent {
    let special = Flags::BLOCKED
        | Flags::CLOSING
        | Flags::ENDING
        | Flags::FAILED
        | Flags::FILES
        | Flags::FULL
        | Flags::JOBS
        | Flags::OVERFLOW
        | Flags::SHUTTING
        | Flags::TIMED;
    if entry.flags.intersects(special) || !entry.flags.contains(Flags::SOCKET) {
        return Sent::Rest;
    }
    let Some(queue) = entry.queue.as_mut() else {
        return Sent::Whole;
    };
    let Some(piece) = queue.as_run() else {
        return Sent::Rest;
    };
    match send(&entry.fd, piece, SendFlags::NOSIGNAL) {
        Ok(count) => {
            let whole = count == piece.len();
            entry.bytes_written += count as u64;
            queue.consume(count);
            if !whole {
                return Sent::Rest;
            }
            recycle(entry.queue.take(), spare);
            Sent::Whole
        }
        Err(Errno::AGAIN | Errno::INTR) => Sent::Rest,
        Err(errno) => Sent::Failed(errno),
    }
}

#[derive(Default)]
pub(super) struct Flushed {
    error: Option<Error>,
    drain: bool,
    over: bool,
}

/// Sends what waits.
#[inline]
pub(super) fn flush<T: Transport>(stream: T) {
    let flushing = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(id)?;
        Some(flush_quickly(entry, token, spare))
    });
    if let Some(Some(flushing)) = flushing {
        finish(stream, flushing);
    }
}

#[inline]
fn settle<T: Transport>(stream: T, flushed: Flushed) {
    if let Some(error) = flushed.error {
        return ending::fail(stream, error);
    }
    if flushed.drain {
        protocol::tell_drain(stream);
    }
    if flushed.over {
        ending::queue_is_empty(stream);
    }
}

#[inline]
fn flush_entry<T: Transport>(entry: &mut Entry<T>, token: Token, spare: &mut Spare) -> Flushed {
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
        let _ = send_queue(entry, token);
        flushed.error = entry.rare().failure.take();
        return flushed;
    }
    if !entry.flags.contains(Flags::BLOCKED)
        && let Err(error) = send_queue(entry, token)
    {
        flushed.error = Some(Error::write(error));
        return flushed;
    }
    if entry.is_flushed() {
        recycle(entry.queue.take(), spare);
        flushed.over = entry.flags.intersects(Flags::ENDING | Flags::SHUTTING);
    }
    if entry.flags.contains(Flags::FULL) && !entry.is_full() {
        entry.flags.remove(Flags::FULL);
        flushed.drain = entry.is_writable();
    }
    flushed
}

/// Puts a queue that is done with where the next stream finds it.
#[inline]
pub(super) fn recycle(queue: Option<Box<WriteQueue>>, spare: &mut Spare) {
    if let Some(queue) = queue {
        spare.keep_queue(queue);
    }
}

/// Sends until the queue is empty or the descriptor takes no more.
#[inline]
fn send_queue<T: Transport>(entry: &mut Entry<T>, token: Token) -> io::Result<()> {
    if entry.flags.contains(Flags::JOBS) {
        return jobs::write(entry, token);
    }
    let before = entry.bytes_written;
    send_bytes(entry)?;
    if entry.flags.contains(Flags::FILES) {
        files::send(entry, token)?;
    }
    if entry.bytes_written > before {
        entry.touch();
    }
    if entry.flags.contains(Flags::BLOCKED) {
        // Whoever sends found room, or fills the descriptor for the first time: the peer's time begins here.
        deadlines::blocked(entry, token);
    }
    Ok(())
}

/// Sends the bytes before the first file until they are sent or the descriptor takes no more.
#[inline]
pub(super) fn send_bytes<T: Transport>(entry: &mut Entry<T>) -> io::Result<()> {
    let is_socket = entry.flags.contains(Flags::SOCKET);
    let mut flags = SendFlags::NOSIGNAL;
    if entry.flags.contains(Flags::FILES) && entry.file_is_next() {
        flags |= MORE;
    }
    let Some(queue) = entry.queue.as_mut() else {
        return Ok(());
    };
    while !queue.is_empty() {
        let (result, offered) = match queue.as_single() {
            Some(piece) if is_socket => (send(&entry.fd, piece, flags), piece.len()),
            Some(piece) => (rustix::io::write(&entry.fd, piece), piece.len()),
            None => {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = queue.slices(&mut pieces);
                let pieces = &pieces[..count];
                let offered = pieces.iter().map(|piece| piece.len()).sum();
                let result = if is_socket {
                    let mut control = SendAncillaryBuffer::default();
                    sendmsg(&entry.fd, pieces, &mut control, flags)
                } else {
                    rustix::io::writev(&entry.fd, pieces)
                };
                (result, offered)
            }
        };
        match result {
            Ok(count) => {
                entry.bytes_written += count as u64;
                queue.consume(count);
                // A socket that takes a part is full, and an event will tell when it no longer is.
                if count < offered && is_socket {
                    entry.flags.insert(Flags::BLOCKED);
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                entry.flags.insert(Flags::BLOCKED);
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Has the stream fail when the iteration ends: nothing is emitted while a user's call is under way.
pub(super) fn fail_later<T: Transport>(entry: &mut Entry<T>, token: Token, error: Error) {
    entry.rare().failure.get_or_insert(error);
    entry.flags.insert(Flags::FAILED);
    queue_flush(entry, token);
}

/// Tries once to send what is queued before a stream is closed for an error of its own: an alert, as a rule.
pub(super) fn send_last<T: Transport>(stream: T) {
    super::with_entry(stream, |entry, token| {
        if !entry.flags.contains(Flags::BLOCKED) {
            // The stream closes for a better reason than this one.
            let _ = send_queue(entry, token);
        }
    });
}
