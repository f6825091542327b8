//! Reading: what a readiness event becomes.

use std::os::fd::AsFd;

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use uptick_event_loop::driver;
use uptick_event_loop::{Readiness, Token};

use super::filtering::Taken;
use super::flags::Flags;
use super::protocol::{self, Served};
use super::{Entry, Spare, Transport, ending, filtering, jobs, with_entry};
use crate::error::Error;
use crate::read_buffer::{self, Chunk, NoBytes, Source};

/// How many chunks of one stream are read before others get their turn: at 64 KiB each, 1 MiB.
const BUDGET: usize = 16;

/// Bytes that have come: from the descriptor, so that they are nobody else's, or through filters.
pub(super) enum Came {
    Read(BytesMut),
    Passed(Bytes),
}

impl Came {
    #[inline]
    fn freeze(self) -> Bytes {
        match self {
            Came::Read(bytes) => bytes.freeze(),
            Came::Passed(bytes) => bytes,
        }
    }
}

/// What has become of an event while its stream was at hand.
pub(super) enum Begun<T: Transport> {
    /// There is a chunk for a protocol. More may follow.
    Served {
        chunk: Came,
        served: Served<T>,
        more: bool,
    },
    /// There is a chunk, and its emission has begun unless the listeners are running. More may follow.
    Chunk {
        chunk: Bytes,
        emission: Option<uptick_emitter::Begun>,
        more: bool,
    },
    /// There is a chunk for the filters. More may follow.
    Filtered {
        chunk: Bytes,
        taken: Taken,
        more: bool,
    },
    /// What has come is dealt with. More may follow.
    Passed { more: bool },
    /// The first step of a read pass.
    Step(Step),
    /// Everything is still to be done.
    Otherwise,
}

/// Reads a stream that is ready, if it is one of the many in the ordinary state.
#[inline]
pub(super) fn begin<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    readiness: Readiness,
    spare: &mut Spare,
    begun: &mut Begun<T>,
) {
    if readiness.is_readable() {
        entry.flags.insert(Flags::READ_READY);
        if readiness.splits_reads() {
            if readiness.is_read_closed() {
                entry.flags.insert(Flags::HANGUP);
            }
            if readiness.is_priority() {
                entry.flags.insert(Flags::URGENT);
            }
        }
    } else if readiness == Readiness::NONE {
        entry.flags.remove(Flags::READ_QUEUED);
    }
    let over = entry.flags.intersects(Flags::READ_OVER | Flags::ENDED);
    if readiness.is_error() && over && entry.is_socket() {
        reset_after_end(entry, begun);
        return;
    }
    let special = Flags::BLOCKED
        | Flags::CLOSING
        | Flags::ENDED
        | Flags::ENDING
        | Flags::FAILED
        | Flags::FILTERING
        | Flags::FILTER_WAITS
        | Flags::GATHERED
        | Flags::JOBS
        | Flags::PAUSED
        | Flags::READ_OVER;
    let ordinary = Flags::STARTED | Flags::READ_READY;
    let filtered = entry.flags.contains(Flags::FILTERED);
    if entry.flags.intersects(special)
        || !entry.flags.contains(ordinary)
        || match filtered {
            true => entry.defers(),
            false => entry.served.is_none() && !entry.listeners.has(T::DATA.slot()),
        }
    {
        return;
    }
    match read_buffer::read_some(entry.fd.as_fd(), entry.source()) {
        Ok(chunk) => {
            let more = entry.count_read(&chunk);
            // What the listeners write goes out when they have returned, while all is still in the caches.
            entry.flags.insert(Flags::FLUSH_QUEUED);
            let chunk = chunk.bytes;
            *begun = if filtered {
                let taken = filtering::take(entry, spare, false);
                let chunk = chunk.freeze();
                Begun::Filtered { chunk, taken, more }
            } else {
                tell_of(entry, Came::Read(chunk), more)
            };
        }
        Err(rare) => *begun = Begun::Step(rare_step(entry, token, rare)),
    }
}

/// Has whoever takes data take a chunk.
#[inline]
pub(super) fn tell_of<T: Transport>(entry: &mut Entry<T>, chunk: Came, more: bool) -> Begun<T> {
    match entry.served {
        Some(served) => Begun::Served {
            chunk,
            served,
            more,
        },
        None => Begun::Chunk {
            chunk: chunk.freeze(),
            emission: entry.listeners.begin(&T::DATA),
            more,
        },
    }
}

/// The peer has ended before, so that no read tells of what has become of it since.
#[cold]
fn reset_after_end<T: Transport>(entry: &Entry<T>, begun: &mut Begun<T>) {
    if !entry.flags.contains(Flags::CLOSING)
        && let Ok(Err(errno)) = rustix::net::sockopt::socket_error(&entry.fd)
    {
        *begun = Begun::Step(Step::Fail(Error::write(errno)));
    }
}

/// Has the stream read in the next iteration, if there is something to read or to hand on.
pub(super) fn schedule<T: Transport>(entry: &mut Entry<T>, token: Token) {
    let flags = entry.flags;
    if flags.contains(Flags::STARTED)
        && !flags.intersects(Flags::READ_QUEUED)
        && (flags.contains(Flags::READ_READY) || entry.holds())
    {
        entry.flags.insert(Flags::READ_QUEUED);
        driver::ready_later(token, Readiness::NONE);
    }
}

pub(super) enum Step {
    Chunk { chunk: BytesMut, more: bool },
    Filtered(Bytes),
    Held,
    End,
    EndPending,
    Discarded,
    Fail(Error),
    Stop,
}

/// Reads while there is something, somebody wants it and it is not the turn of others.
pub(super) fn read_pass<T: Transport>(stream: T) {
    with_entry(stream, |entry, _| entry.flags.remove(Flags::READ_QUEUED));
    read_on(stream, BUDGET);
}

/// Reads on after the first chunk of a pass.
pub(super) fn continue_pass<T: Transport>(stream: T) {
    read_on(stream, BUDGET - 1);
}

fn read_on<T: Transport>(stream: T, budget: usize) {
    for _ in 0..budget {
        let step = with_entry(stream, |entry, token| next_step(entry, token));
        if !act(stream, step.unwrap_or(Step::Stop)) {
            return;
        }
    }
    with_entry(stream, |entry, token| schedule(entry, token));
}

/// Does what a step asks for; gives whether another one may follow.
pub(super) fn act<T: Transport>(stream: T, step: Step) -> bool {
    match step {
        Step::Chunk { chunk, more } => {
            protocol::tell_read(stream, chunk);
            return more;
        }
        Step::Filtered(chunk) => filtering::received(stream, chunk),
        Step::Held => filtering::release(stream),
        Step::End => end_of_stream(stream),
        Step::EndPending => {
            protocol::tell_end_pending(stream);
            return false;
        }
        Step::Discarded => {}
        Step::Fail(error) => ending::fail(stream, error),
        Step::Stop => return false,
    }
    true
}

impl<T: Transport> Entry<T> {
    /// Notes a chunk; gives whether there may be more that no event will tell of.
    #[inline]
    fn count_read(&mut self, chunk: &Chunk) -> bool {
        self.bytes_read += chunk.bytes.len() as u64;
        self.touch();
        let short = self.flags.contains(Flags::SHORT_READ_ENDS) && !chunk.more;
        let over = short && !self.flags.intersects(Flags::HANGUP | Flags::URGENT);
        if over {
            self.flags.remove(Flags::READ_READY);
        }
        !over
    }

    /// How the descriptor is read.
    #[inline]
    fn source(&self) -> Source {
        if !self.is_socket() {
            Source::Other
        } else if self.flags.contains(Flags::UNIX) {
            Source::UnixSocket
        } else {
            Source::Socket
        }
    }

    /// Whether something came through the filters that nobody has taken yet.
    pub(super) fn holds(&self) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| !rare.held.is_empty() || rare.held_end)
    }

    /// Whether something is to be done about the filters before more is read.
    fn defers(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| {
            !rare.held.is_empty() || rare.held_end || !rare.postponed.is_empty()
        })
    }

    /// Whether the user takes data now.
    #[inline]
    pub(super) fn wants_data(&self) -> bool {
        !self.flags.intersects(Flags::PAUSED | Flags::CLOSING)
            && (self.flags.contains(Flags::FLOWING)
                || self.served.is_some()
                || self.listeners.has(T::DATA.slot()))
    }
}

#[inline]
fn next_step<T: Transport>(entry: &mut Entry<T>, token: Token) -> Step {
    let flags = entry.flags;
    if flags.intersects(Flags::CLOSING | Flags::FAILED) {
        return Step::Stop;
    }
    if flags.contains(Flags::ENDING) {
        return discard(entry);
    }
    if flags.contains(Flags::FILTERED) && entry.holds() {
        return if entry.wants_data() {
            Step::Held
        } else {
            unwanted(entry)
        };
    }
    // What a peer sends behind the end of a layer waits until this side ends too.
    if !flags.contains(Flags::READ_READY) || flags.intersects(Flags::READ_OVER | Flags::ENDED) {
        return Step::Stop;
    }
    let filtered = flags.contains(Flags::FILTERED);
    let wanted = if filtered {
        !flags.intersects(Flags::PAUSED | Flags::FILTER_WAITS)
    } else {
        entry.wants_data()
    };
    if !wanted {
        return unwanted(entry);
    }
    read(entry, token)
}

/// Reads a chunk.
fn read<T: Transport>(entry: &mut Entry<T>, token: Token) -> Step {
    let read = if entry.flags.contains(Flags::JOBS) {
        match jobs::read(entry, token) {
            Some(read) => read,
            None => return Step::Stop,
        }
    } else {
        read_buffer::read_some(entry.fd.as_fd(), entry.source())
    };
    match read {
        Ok(chunk) => {
            let more = entry.count_read(&chunk);
            let chunk = chunk.bytes;
            if entry.flags.contains(Flags::FILTERED) {
                Step::Filtered(chunk.freeze())
            } else {
                Step::Chunk { chunk, more }
            }
        }
        Err(rare) => rare_step(entry, token, rare),
    }
}

/// A read that gave no bytes.
#[cold]
fn rare_step<T: Transport>(entry: &mut Entry<T>, token: Token, rare: NoBytes) -> Step {
    match rare {
        NoBytes::End => {
            entry.flags.remove(Flags::READ_READY);
            entry.flags.insert(Flags::READ_OVER);
            Step::End
        }
        NoBytes::Failed(error) => match failed(entry, &error) {
            Some(step) => step,
            None => read(entry, token),
        },
    }
}

/// Handles readiness while no data is wanted. An end of stream or an error with nothing unread before it is reported; an end behind
/// unread bytes is reported to a protocol only.
#[cold]
fn unwanted<T: Transport>(entry: &mut Entry<T>) -> Step {
    let pending = match entry.flags.contains(Flags::PAUSED) && entry.served.is_some() {
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

/// What a failed read comes to; `None` to try again.
#[cold]
fn failed<T: Transport>(entry: &mut Entry<T>, error: &std::io::Error) -> Option<Step> {
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
        Some(errno) => Some(Step::Fail(Error::read(errno))),
        None => Some(Step::Fail(Error::read(std::io::Error::from(error.kind())))),
    }
}

/// The stream is ending: what still comes is thrown away, until the peer ends too.
#[cold]
fn discard<T: Transport>(entry: &mut Entry<T>) -> Step {
    if !entry.flags.contains(Flags::READ_READY)
        || entry.flags.intersects(Flags::READ_OVER | Flags::JOBS)
    {
        return Step::Stop;
    }
    match read_buffer::discard(entry.fd.as_fd(), entry.source()) {
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

/// Throws away what has come, a chunk for each read of a pass at most: a socket that is closed with unread bytes in it
/// resets the connection, which may overtake what was sent last.
pub(super) fn discard_unread<T: Transport>(entry: &Entry<T>) {
    if entry.flags.intersects(Flags::READ_OVER | Flags::JOBS) {
        return;
    }
    for _ in 0..BUDGET {
        match read_buffer::discard(entry.fd.as_fd(), entry.source()) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The descriptor has no more bytes.
fn end_of_stream<T: Transport>(stream: T) {
    let flags = with_entry(stream, |entry, _| entry.flags).unwrap_or_default();
    if flags.contains(Flags::ENDING) {
        ending::peer_ended_too(stream);
    } else if flags.contains(Flags::FILTERED) {
        filtering::peer_ended(stream);
    } else {
        emit_end(stream);
    }
}

/// Emits `end`, and ends this side too unless half-open streams are wanted.
pub(super) fn emit_end<T: Transport>(stream: T) {
    with_entry(stream, |entry, _| entry.flags.insert(Flags::ENDED));
    protocol::tell_end(stream);
    let flags = with_entry(stream, |entry, _| entry.flags).unwrap_or_default();
    if !flags.contains(Flags::HALF_OPEN) || flags.contains(Flags::WRITE_OVER) {
        ending::end(stream);
    }
}
