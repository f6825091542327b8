//! Reading: from the descriptor to the session, the listeners or the filters.
//!
//! Cost of a chunk: one system call, one indirect call. Nothing is copied: the bytes stay in the thread's read buffer, which the
//! session is lent and of which a listener gets a part.

use std::os::fd::AsFd;
use std::rc::Rc;

use bytes::BytesMut;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use uptick_event_loop::Id;

use super::flags::Flags;
use super::session::{self, Session};
use super::stream::Visit;
use super::{Entry, Transport, closing, ending, filtering, jobs};
use crate::error::Error;
use crate::read_buffer::{self, FRAME_SIZE, NoBytes, READ_SIZE};

/// The number of reads from one stream before others get their turn: at 64 KiB each, 1 MiB.
const BUDGET: usize = 16;

/// States in which a read is not all there is to be done, or nothing is to be read.
const SPECIAL: Flags = Flags::CLOSING
    .union(Flags::ENDED)
    .union(Flags::ENDING)
    .union(Flags::FAILED)
    .union(Flags::FILTERED)
    .union(Flags::JOBS)
    .union(Flags::PAUSED)
    .union(Flags::READ_OVER);

/// What is to be done next for a stream that is read.
pub(super) enum Step<T: Transport> {
    /// The buffer has bytes for the session, or for listeners where there is none.
    Data {
        session: Option<Rc<dyn Session<T>>>,
        more: bool,
    },
    /// The buffer has bytes for the filters.
    Filter,
    /// Bytes that were held back are wanted now.
    Release,
    End,
    /// The peer's end waits behind what is not read.
    EndPending,
    /// Something was discarded.
    Discarded,
    Fail(Box<Error>),
    Stop,
}

/// Reads while there is something, it is wanted and it is not the turn of others.
pub(super) fn read_pass<T: Transport>(stream: &Visit<T>) {
    let mut buffer = read_buffer::take();
    let first = stream.with(|entry, id| next_step(entry, id, &mut buffer));
    read_on(stream, first, &mut buffer);
    read_buffer::put_back(buffer);
}

/// Goes on with a pass from its first step.
pub(super) fn read_on<T: Transport>(
    stream: &Visit<T>,
    first: Option<Step<T>>,
    buffer: &mut BytesMut,
) {
    let mut step = first;
    for _ in 0..BUDGET {
        match step {
            Some(Step::Data { session, more }) => {
                session::data(stream, session, buffer);
                if !more {
                    return;
                }
            }
            Some(Step::Stop) | None => return,
            Some(other) => {
                if !act(stream, other, buffer) {
                    return;
                }
            }
        }
        step = stream.with(|entry, id| next_step(entry, id, buffer));
    }
    // The bytes of a step that is not taken would be lost.
    if let Some(step) = step {
        act(stream, step, buffer);
    }
    stream.with(|entry, id| entry.schedule_read(id));
}

/// Takes a step other than the ordinary one; returns whether another one follows.
fn act<T: Transport>(stream: &Visit<T>, step: Step<T>, buffer: &mut BytesMut) -> bool {
    match step {
        Step::Data { session, more } => {
            session::data(stream, session, buffer);
            return more;
        }
        Step::Filter => {
            let after = filtering::received(stream, buffer);
            ending::after(stream, after);
        }
        Step::Release => {
            let after = filtering::release(stream);
            ending::after(stream, after);
        }
        Step::End => ending::end_of_stream(stream),
        Step::EndPending => {
            session::end_pending(stream);
            return false;
        }
        Step::Discarded => {}
        Step::Fail(error) => closing::fail(stream, *error),
        Step::Stop => return false,
    }
    true
}

/// Finds out what to do next, and reads into the buffer where that is what is next.
#[inline(always)]
pub(super) fn next_step<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    buffer: &mut BytesMut,
) -> Step<T> {
    if entry.flags.intersects(SPECIAL) {
        return next_special_step(entry, id, buffer);
    }
    if !entry.flags.contains(Flags::READ_READY) {
        return Step::Stop;
    }
    if !entry.wants_data() {
        return unwanted(entry);
    }
    match read(entry, buffer) {
        Ok(more) => Step::Data {
            session: entry.session.clone(),
            more,
        },
        Err(rare) => without_bytes(entry, id, rare, buffer),
    }
}

/// Reads once, and notes it; returns whether there may be more that no event will report.
#[inline(always)]
fn read<T: Transport>(entry: &mut Entry<T>, buffer: &mut BytesMut) -> Result<bool, NoBytes> {
    let most = match entry.session.is_some() || entry.flags.contains(Flags::FILTERED) {
        true => FRAME_SIZE,
        false => READ_SIZE,
    };
    let more = read_buffer::read(entry.fd.as_fd(), entry.read_method(), most, buffer)?;
    entry.bytes_read += buffer.len() as u64;
    entry.touch();
    let unsure = Flags::HANGUP.union(Flags::URGENT);
    let over =
        !more && entry.flags.contains(Flags::SHORT_READ_ENDS) && !entry.flags.intersects(unsure);
    if over {
        entry.flags.remove(Flags::READ_READY);
    }
    Ok(!over)
}

#[inline(never)]
fn next_special_step<T: Transport>(entry: &mut Entry<T>, id: Id, buffer: &mut BytesMut) -> Step<T> {
    let flags = entry.flags;
    if flags.intersects(Flags::CLOSING | Flags::FAILED) {
        return Step::Stop;
    }
    if flags.contains(Flags::ENDING) {
        return discard(entry);
    }
    let filtered = flags.contains(Flags::FILTERED);
    if filtered && entry.holds() {
        return match entry.wants_data() {
            true => Step::Release,
            false => unwanted(entry),
        };
    }
    // What a peer sends behind the end of a layer waits until this side ends too.
    if !flags.contains(Flags::READ_READY) || flags.intersects(Flags::READ_OVER | Flags::ENDED) {
        return Step::Stop;
    }
    let wanted = match filtered {
        true => !flags.intersects(Flags::PAUSED | Flags::FILTER_WAITS),
        false => entry.wants_data(),
    };
    if !wanted {
        return unwanted(entry);
    }
    let read = if flags.contains(Flags::JOBS) {
        match jobs::read(entry, id) {
            Some(read) => read.map(|bytes| {
                entry.bytes_read += bytes.len() as u64;
                entry.touch();
                *buffer = bytes.into();
                true
            }),
            None => return Step::Stop,
        }
    } else {
        read(entry, buffer)
    };
    match read {
        Ok(_) if filtered => Step::Filter,
        Ok(more) => Step::Data {
            session: entry.session.clone(),
            more,
        },
        Err(rare) => without_bytes(entry, id, rare, buffer),
    }
}

/// A read that returned no bytes.
#[cold]
fn without_bytes<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    rare: NoBytes,
    buffer: &mut BytesMut,
) -> Step<T> {
    match rare {
        NoBytes::End => {
            entry.flags.remove(Flags::READ_READY);
            entry.flags.insert(Flags::READ_OVER);
            Step::End
        }
        NoBytes::Failed(error) => match failed(entry, &error) {
            Some(step) => step,
            None => next_step(entry, id, buffer),
        },
    }
}

/// Handles readiness while no data is wanted. An end of stream or an error with nothing unread before it is reported; an end behind
/// unread bytes is reported to a session only.
#[cold]
fn unwanted<T: Transport>(entry: &mut Entry<T>) -> Step<T> {
    let pending = match entry.flags.contains(Flags::PAUSED) && entry.session.is_some() {
        true => Step::EndPending,
        false => Step::Stop,
    };
    if !entry.flags.contains(Flags::HANGUP) {
        let held_end = entry.rare.as_ref().is_some_and(|rare| rare.held_end);
        return if held_end { pending } else { Step::Stop };
    }
    let waiting = if entry.flags.contains(Flags::SOCKET) {
        recv(&entry.fd, &mut [0_u8; 1][..], RecvFlags::PEEK).map(|(read, _)| read as u64)
    } else {
        rustix::io::ioctl_fionread(&entry.fd)
    };
    match waiting {
        Ok(0) if !entry.flags.contains(Flags::PAUSED) && !entry.holds() => {
            entry.flags.remove(Flags::READ_READY);
            entry.flags.insert(Flags::READ_OVER);
            Step::End
        }
        Ok(_) => pending,
        Err(error) => failed(entry, &error.into()).unwrap_or(Step::Stop),
    }
}

/// The step after a failed read; `None` to try again.
#[cold]
fn failed<T: Transport>(entry: &mut Entry<T>, error: &std::io::Error) -> Option<Step<T>> {
    match Errno::from_io_error(error) {
        Some(Errno::INTR) => None,
        Some(Errno::AGAIN) => {
            entry
                .flags
                .remove(Flags::READ_READY | Flags::HANGUP | Flags::URGENT);
            Some(Step::Stop)
        }
        // A terminal whose other side is gone.
        Some(Errno::IO) if !entry.flags.contains(Flags::SOCKET) => {
            entry.flags.insert(Flags::READ_OVER);
            Some(Step::End)
        }
        Some(errno) => Some(Step::Fail(Box::new(Error::read(errno)))),
        None => Some(Step::Fail(Box::new(Error::read(std::io::Error::from(
            error.kind(),
        ))))),
    }
}

/// The stream is ending: discards what still comes, until the peer ends too.
#[cold]
fn discard<T: Transport>(entry: &mut Entry<T>) -> Step<T> {
    if !entry.flags.contains(Flags::READ_READY)
        || entry.flags.intersects(Flags::READ_OVER | Flags::JOBS)
    {
        return Step::Stop;
    }
    match read_buffer::discard(entry.fd.as_fd(), entry.read_method()) {
        Ok(0) => {
            entry.flags.remove(Flags::READ_READY);
            entry.flags.insert(Flags::READ_OVER);
            Step::End
        }
        Ok(_) => Step::Discarded,
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INTR) => Step::Discarded,
            Some(Errno::AGAIN) => {
                entry
                    .flags
                    .remove(Flags::READ_READY | Flags::HANGUP | Flags::URGENT);
                Step::Stop
            }
            _ => {
                entry.flags.insert(Flags::READ_OVER);
                Step::End
            }
        },
    }
}
