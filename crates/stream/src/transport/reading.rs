//! Reading: from the descriptor to the session, the listeners or the filters.
//!
//! A chunk costs one system call and one indirect call. Nothing is copied: the bytes stay in the thread's read buffer, which
//! is lent to the session; a listener receives a part of it.

use std::os::fd::AsFd;
use std::rc::Rc;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use uptick_event_loop::Id;

use super::flags::StreamFlags;
use super::session::{self, Session};
use super::stream::Visit;
use super::{StreamEntry, Transport, closing, ending, filtering, jobs};
use crate::error::Error;
use crate::read_buffer::{self, FILTER_SIZE, MESSAGE_SIZE, NoBytes, READ_SIZE};

/// Maximum number of reads from a stream before other streams are served: 16 reads of 64 KiB, 1 MiB in total.
const BUDGET: usize = 16;

/// The states in which a read is not enough, or not allowed.
const SLOW_READ: StreamFlags = StreamFlags::CLOSING
    .union(StreamFlags::END_EMITTED)
    .union(StreamFlags::ENDING)
    .union(StreamFlags::FAILED)
    .union(StreamFlags::FILTERED)
    .union(StreamFlags::JOBS)
    .union(StreamFlags::PAUSED)
    .union(StreamFlags::READ_ENDED);

/// The next step in reading a stream.
pub(super) enum ReadStep<T: Transport> {
    /// The buffer has bytes for the session, or for the listeners if there is no session.
    Data {
        session: Option<Rc<dyn Session<T>>>,
        more: bool,
    },
    /// The buffer has bytes for the filters.
    Filter,
    /// Undelivered bytes can be delivered now.
    Release,
    End,
    /// The peer's end of stream follows unread bytes.
    EndPending,
    /// Bytes were discarded.
    Discarded,
    Fail(Box<Error>),
    Stop,
}

/// Reads while data is available and wanted, up to the budget.
pub(super) fn read_pass<T: Transport>(stream: &Visit<T>) {
    let mut buffer = read_buffer::take();
    let first = stream.with(|entry, id| next_step(entry, id, &mut buffer));
    continue_pass(stream, first, &mut buffer);
    read_buffer::put_back(buffer);
}

/// Continues a pass from its first step.
pub(super) fn continue_pass<T: Transport>(
    stream: &Visit<T>,
    first: Option<ReadStep<T>>,
    buffer: &mut BytesMut,
) {
    let mut step = first;
    for _ in 0..BUDGET {
        match step {
            Some(ReadStep::Data { session, more }) => {
                session::deliver_buffer(stream, session, buffer);
                if !more {
                    return;
                }
            }
            Some(ReadStep::Stop) | None => return,
            Some(other) => {
                if !perform(stream, other, buffer) {
                    return;
                }
            }
        }
        step = stream.with(|entry, id| next_step(entry, id, buffer));
    }
    // The step has already put bytes into the buffer.
    if let Some(step) = step {
        perform(stream, step, buffer);
    }
    stream.with(|entry, id| entry.schedule_read(id));
}

/// Performs a step outside the fast path; returns whether another step follows.
fn perform<T: Transport>(stream: &Visit<T>, step: ReadStep<T>, buffer: &mut BytesMut) -> bool {
    match step {
        ReadStep::Data { session, more } => {
            session::deliver_buffer(stream, session, buffer);
            return more;
        }
        ReadStep::Filter => {
            let follow_up = filtering::received(stream, buffer);
            ending::finish_pass(stream, follow_up);
        }
        ReadStep::Release => {
            let follow_up = filtering::release(stream);
            ending::finish_pass(stream, follow_up);
        }
        ReadStep::End => ending::end_of_stream(stream),
        ReadStep::EndPending => {
            session::end_pending(stream);
            return false;
        }
        ReadStep::Discarded => {}
        ReadStep::Fail(error) => closing::fail(stream, *error),
        ReadStep::Stop => return false,
    }
    true
}

/// Determines the next step, and reads into the buffer if it needs data.
#[inline(always)]
pub(super) fn next_step<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    buffer: &mut BytesMut,
) -> ReadStep<T> {
    if entry.flags.intersects(SLOW_READ) {
        return next_slow_step(entry, id, buffer);
    }
    if !entry.flags.contains(StreamFlags::READ_READY) {
        return ReadStep::Stop;
    }
    if !entry.accepts_data() {
        return handle_unwanted(entry);
    }
    match read(entry, buffer) {
        Ok(more) => ReadStep::Data {
            session: entry.session.clone(),
            more,
        },
        Err(no_bytes) => without_bytes(entry, id, no_bytes, buffer),
    }
}

/// Reads once and updates the state; returns whether there may be more data that no event will report.
#[inline(always)]
fn read<T: Transport>(entry: &mut StreamEntry<T>, buffer: &mut BytesMut) -> Result<bool, NoBytes> {
    let limit = if entry.flags.contains(StreamFlags::FILTERED) {
        FILTER_SIZE
    } else if entry.session.is_some() {
        MESSAGE_SIZE
    } else {
        READ_SIZE
    };
    let more = read_buffer::read(entry.fd.as_fd(), entry.read_method(), limit, buffer)?;
    entry.bytes_read += buffer.len() as u64;
    entry.touch();
    let unsure = StreamFlags::HANGUP.union(StreamFlags::URGENT);
    let drained = !more
        && entry.flags.contains(StreamFlags::SHORT_READ_ENDS)
        && !entry.flags.intersects(unsure);
    if drained {
        entry.flags.remove(StreamFlags::READ_READY);
    }
    Ok(!drained)
}

#[inline(never)]
fn next_slow_step<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    buffer: &mut BytesMut,
) -> ReadStep<T> {
    let flags = entry.flags;
    if flags.intersects(StreamFlags::CLOSING | StreamFlags::FAILED) {
        return ReadStep::Stop;
    }
    if flags.contains(StreamFlags::ENDING) {
        return discard(entry);
    }
    let filtered = flags.contains(StreamFlags::FILTERED);
    if filtered && entry.has_undelivered() {
        return match entry.accepts_data() {
            true => ReadStep::Release,
            false => handle_unwanted(entry),
        };
    }
    // Data that follows the end of a layer is not read until the stream ends.
    if !flags.contains(StreamFlags::READ_READY)
        || flags.intersects(StreamFlags::READ_ENDED | StreamFlags::END_EMITTED)
    {
        return ReadStep::Stop;
    }
    let wanted = match filtered {
        true => !flags.intersects(StreamFlags::PAUSED | StreamFlags::FILTERS_WAITING),
        false => entry.accepts_data(),
    };
    if !wanted {
        return handle_unwanted(entry);
    }
    let read = if flags.contains(StreamFlags::JOBS) {
        match jobs::read(entry, id) {
            Some(read) => read.map(|bytes| {
                entry.bytes_read += bytes.len() as u64;
                entry.touch();
                *buffer = bytes.into();
                true
            }),
            None => return ReadStep::Stop,
        }
    } else {
        read(entry, buffer)
    };
    match read {
        Ok(_) if filtered => ReadStep::Filter,
        Ok(more) => ReadStep::Data {
            session: entry.session.clone(),
            more,
        },
        Err(no_bytes) => without_bytes(entry, id, no_bytes, buffer),
    }
}

/// Returns the step after a read that returned no bytes.
#[cold]
fn without_bytes<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    no_bytes: NoBytes,
    buffer: &mut BytesMut,
) -> ReadStep<T> {
    match no_bytes {
        NoBytes::End => {
            entry.flags.remove(StreamFlags::READ_READY);
            entry.flags.insert(StreamFlags::READ_ENDED);
            match entry.error_at_end() {
                Some(error) => ReadStep::Fail(Box::new(error)),
                None => ReadStep::End,
            }
        }
        NoBytes::Failed(error) => match failed(entry, &error) {
            Some(step) => step,
            None => next_step(entry, id, buffer),
        },
    }
}

/// Handles readiness while no data is wanted. An end of stream or an error is reported if no unread bytes precede it; an end
/// after unread bytes is reported to a session only.
#[cold]
fn handle_unwanted<T: Transport>(entry: &mut StreamEntry<T>) -> ReadStep<T> {
    let pending = match entry.flags.contains(StreamFlags::PAUSED) && entry.session.is_some() {
        true => ReadStep::EndPending,
        false => ReadStep::Stop,
    };
    if !entry.flags.contains(StreamFlags::HANGUP) {
        let undelivered_end = entry
            .extended
            .as_ref()
            .is_some_and(|extended| extended.undelivered_end);
        return if undelivered_end {
            pending
        } else {
            ReadStep::Stop
        };
    }
    let waiting = if entry.flags.contains(StreamFlags::SOCKET) {
        recv(&entry.fd, &mut [0_u8; 1][..], RecvFlags::PEEK).map(|(read, _)| read as u64)
    } else {
        rustix::io::ioctl_fionread(&entry.fd)
    };
    match waiting {
        Ok(0) if !entry.flags.contains(StreamFlags::PAUSED) && !entry.has_undelivered() => {
            entry.flags.remove(StreamFlags::READ_READY);
            entry.flags.insert(StreamFlags::READ_ENDED);
            ReadStep::End
        }
        Ok(_) => pending,
        Err(error) => failed(entry, &error.into()).unwrap_or(ReadStep::Stop),
    }
}

/// Returns the step after a failed read; `None` to read again.
#[cold]
fn failed<T: Transport>(entry: &mut StreamEntry<T>, error: &std::io::Error) -> Option<ReadStep<T>> {
    match Errno::from_io_error(error) {
        Some(Errno::INTR) => None,
        Some(Errno::AGAIN) => {
            entry
                .flags
                .remove(StreamFlags::READ_READY | StreamFlags::HANGUP | StreamFlags::URGENT);
            Some(ReadStep::Stop)
        }
        // A terminal whose other end is closed.
        Some(Errno::IO) if !entry.flags.contains(StreamFlags::SOCKET) => {
            entry.flags.insert(StreamFlags::READ_ENDED);
            Some(ReadStep::End)
        }
        Some(errno) => Some(ReadStep::Fail(Box::new(Error::read(errno)))),
        None => Some(ReadStep::Fail(Box::new(Error::read(std::io::Error::from(
            error.kind(),
        ))))),
    }
}

/// Discards received data of an ending stream, until the peer ends.
#[cold]
fn discard<T: Transport>(entry: &mut StreamEntry<T>) -> ReadStep<T> {
    if !entry.flags.contains(StreamFlags::READ_READY)
        || entry
            .flags
            .intersects(StreamFlags::READ_ENDED | StreamFlags::JOBS)
    {
        return ReadStep::Stop;
    }
    match read_buffer::discard(entry.fd.as_fd(), entry.read_method()) {
        Ok(0) => {
            entry.flags.remove(StreamFlags::READ_READY);
            entry.flags.insert(StreamFlags::READ_ENDED);
            ReadStep::End
        }
        Ok(_) => ReadStep::Discarded,
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INTR) => ReadStep::Discarded,
            Some(Errno::AGAIN) => {
                entry
                    .flags
                    .remove(StreamFlags::READ_READY | StreamFlags::HANGUP | StreamFlags::URGENT);
                ReadStep::Stop
            }
            _ => {
                entry.flags.insert(StreamFlags::READ_ENDED);
                ReadStep::End
            }
        },
    }
}
