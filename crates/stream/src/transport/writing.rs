//! Writing: the queue and its way out.

use std::io::{self, IoSlice};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use uptick_emitter::emit;
use uptick_event_loop::{Token, driver};

use super::flags::Flags;
use super::{Entry, SPARE_QUEUES, Timestamp, Transport, Transports, deadlines, ending, filtering, jobs};
use crate::chunk::Chunk;
use crate::error::Error;
use crate::write_queue::WriteQueue;

/// How many pieces one system call sends.
const PIECES: usize = 64;

#[inline]
pub(super) fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    let mut chunk = Some(chunk);
    let taken = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(id)?;
        if !entry.is_writable() {
            return Some(false);
        }
        if entry.flags.contains(Flags::FILTERED) {
            return None;
        }
        Some(append(entry, token, spare, chunk.take()?))
    });
    match (taken, chunk) {
        (Some(Some(taken)), _) => taken,
        (Some(None), Some(chunk)) => filtering::write(stream, chunk.into_bytes()),
        _ => false,
    }
}

/// Appends to the queue and has it flushed; `false` when the soft limit is reached.
#[inline]
pub(super) fn append<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Vec<Box<WriteQueue>>,
    chunk: impl Chunk,
) -> bool {
    let queue = entry
        .queue
        .get_or_insert_with(|| spare.pop().unwrap_or_default());
    if queue.len() >= entry.hard_limit as usize && !chunk.as_slice().is_empty() {
        entry.flags.insert(Flags::OVERFLOW | Flags::FULL);
        queue_flush(entry, token);
        return false;
    }
    queue.push(chunk);
    let mut waiting = queue.len();
    if waiting == 0 {
        return true;
    }
    if !entry.flags.contains(Flags::BLOCKED) {
        queue_flush(entry, token);
        if waiting >= entry.soft_limit as usize {
            // An error shows again in the flush that is queued, where it can be emitted.
            let _ = send_queue(entry, token);
            waiting = entry.queued();
        }
    }
    if waiting >= entry.soft_limit as usize {
        entry.flags.insert(Flags::FULL);
        return false;
    }
    true
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
pub(super) fn flush_queued<T: Transport>(stream: T) {
    super::with_entry(stream, |entry, _| entry.flags.remove(Flags::FLUSH_QUEUED));
    flush(stream);
}

#[derive(Default)]
struct Flushed {
    error: Option<Error>,
    drain: bool,
    over: bool,
}

#[inline]
fn flush<T: Transport>(stream: T) {
    let flushed = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(id)?;
        Some(flush_entry(entry, token, spare))
    });
    let Some(Some(flushed)) = flushed else { return };
    if let Some(error) = flushed.error {
        return ending::fail(stream, error);
    }
    if flushed.drain {
        emit(&stream, T::DRAIN, ());
    }
    if flushed.over {
        ending::queue_is_empty(stream);
    }
}

#[inline]
fn flush_entry<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Vec<Box<WriteQueue>>,
) -> Flushed {
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
    if !entry.flags.contains(Flags::BLOCKED)
        && let Err(error) = send_queue(entry, token)
    {
        flushed.error = Some(Error::write(error));
        return flushed;
    }
    if entry.queued() == 0 {
        recycle(entry.queue.take(), spare);
        flushed.over = entry.flags.intersects(Flags::ENDING | Flags::SHUTTING);
    }
    if entry.flags.contains(Flags::FULL) && entry.queued() < entry.soft_limit as usize {
        entry.flags.remove(Flags::FULL);
        flushed.drain = entry.is_writable();
    }
    flushed
}

/// Puts a queue that is done with where the next stream finds it.
#[inline]
pub(super) fn recycle(queue: Option<Box<WriteQueue>>, spare: &mut Vec<Box<WriteQueue>>) {
    if let Some(mut queue) = queue
        && spare.len() < SPARE_QUEUES
    {
        queue.clear();
        spare.push(queue);
    }
}

/// Sends until the queue is empty or the descriptor takes no more.
#[inline]
fn send_queue<T: Transport>(entry: &mut Entry<T>, token: Token) -> io::Result<()> {
    if entry.flags.contains(Flags::JOBS) {
        return jobs::write(entry, token);
    }
    let is_socket = entry.flags.contains(Flags::SOCKET);
    let Some(queue) = entry.queue.as_mut() else {
        return Ok(());
    };
    let mut sent = 0;
    while !queue.is_empty() {
        let (result, offered) = match queue.as_single() {
            Some(piece) if is_socket => (
                send(&entry.fd, piece, SendFlags::NOSIGNAL),
                piece.len(),
            ),
            Some(piece) => (rustix::io::write(&entry.fd, piece), piece.len()),
            None => {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = queue.slices(&mut pieces);
                let pieces = &pieces[..count];
                let offered = pieces.iter().map(|piece| piece.len()).sum();
                let result = if is_socket {
                    let mut control = SendAncillaryBuffer::default();
                    sendmsg(&entry.fd, pieces, &mut control, SendFlags::NOSIGNAL)
                } else {
                    rustix::io::writev(&entry.fd, pieces)
                };
                (result, offered)
            }
        };
        match result {
            Ok(count) => {
                sent += count;
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
    entry.bytes_written += sent as u64;
    if sent > 0 {
        entry.touch();
    }
    if entry.flags.contains(Flags::BLOCKED) {
        // Whoever sends found room, or fills the descriptor for the first time: the peer's time begins here.
        entry.progress = Timestamp::now();
        deadlines::arm_entry(entry, token);
    }
    Ok(())
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
