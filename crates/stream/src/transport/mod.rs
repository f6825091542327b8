//! The engine of all streams over file descriptors: reading, writing, ending, closing.
//!
//! A crate with its own kind of stream (connections, pipes) implements [`Transport`] for its `Copy` handle; the engine does
//! the rest. The streams of a kind live in one [`StreamTable`] table per thread.
//!
//! ```text
//! visit ─→ reading ─→ filtering ─→ session or listeners      an event looks up its stream once and holds it
//!   │         └─────→ ending ─→ closing                      the end of a stream
//!   └────→ flushing ─→ filtering ─→ output ─→ sending        bytes written during the event are sent
//! ```
//!
//! Each module uses only those to its right and below. Echoing a chunk costs one read and one write; no allocation, no clock
//! call and no lock.

mod acknowledged;
mod closing;
mod deadlines;
mod ending;
mod files;
mod filtering;
mod flags;
mod flushing;
mod gathering;
mod jobs;
mod options;
mod output;
mod reading;
mod sending;
mod session;
mod settings;
mod stream;
mod table;
mod visit;
mod write_errors;

use std::fmt::{Debug, Display};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::io::Errno;
use uptick_emitter::{Emitter, Event, EventSet, Listeners};
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{Id, Interest, Token, Trigger};

use crate::chunk::Chunk;
use crate::error::Error;
use crate::file_range::FileRange;
use crate::filter::Filter;
use flags::StreamFlags;
use stream::{StreamEntry, hold, with_entry};

pub use acknowledged::{acknowledged, unsent};
pub use options::{HARD_LIMIT, LINGER, SOFT_LIMIT, STALL_LIMIT, SocketFamily, TransportOptions};
pub use session::{
    ChannelSession, Session, clear_session, session, set_session, unshift, visit, with_session,
};
pub use settings::{
    extension, set_allow_half_open, set_extension, set_idle_limit, set_linger, set_stall_limit,
    set_write_limits,
};
pub use stream::Visit;
pub use table::StreamTable;
pub use visit::TransportDriver;
pub use write_errors::{has_input, is_hung_up, set_read_before_write_error};

/// A `Copy` handle to a stream over a file descriptor.
pub trait Transport: Emitter<Events = Self> + EventSet<Frequent = Bytes> + Copy + Debug {
    /// The payload of the `error` event.
    type Error: Clone + Display + 'static;
    /// The value kept with each stream in addition to the engine's state.
    type Attachment: 'static;

    /// The event of received bytes.
    const DATA: Event<Self, Bytes>;
    /// The event of the peer's end of stream.
    const END: Event<Self, ()>;
    /// The event of a drained write queue.
    const DRAIN: Event<Self, ()>;
    /// The event of a failure.
    const ERROR: Event<Self, Self::Error>;
    /// The event of the close.
    const CLOSE: Event<Self, ()>;

    /// The driver of this kind of stream: a [`TransportDriver`].
    const DRIVER: &'static dyn Driver;

    /// Returns the handle of the stream with an id.
    fn from_id(id: Id) -> Self;

    /// Returns the id in the handle.
    fn to_id(self) -> Id;

    /// Calls `f` with the streams of this thread; returns `None` while the thread is ending. `f` must not call listeners.
    fn streams<R>(f: impl FnOnce(&StreamTable<Self>) -> R) -> Option<R>;

    /// Creates the payload of the `error` event; it names the stream.
    fn to_error(extra: &Self::Attachment, error: Error) -> Self::Error;

    /// Called once when the stream closes, before its `close` listeners.
    fn closing(self) {}

    /// Called when the stream is removed, after its `close` listeners.
    fn removed(extra: Self::Attachment) {
        drop(extra);
    }
}

/// `true` if the poller reports data that arrives at a socket after a short read as a new event. On other systems, sockets are read
/// until they block. Pipes, and terminals, which return one line per read, are read until they block on all systems.
const SHORT_READ_ENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Creates a stream over a descriptor. It reads nothing until [`start`].
///
/// # Errors
/// An error if the table is full, which takes 2³² streams, or while the thread is ending; for a blocking descriptor also if
/// the process has no free descriptor.
pub fn open<T: Transport>(
    fd: OwnedFd,
    options: TransportOptions,
    extra: T::Attachment,
) -> Result<T, Error> {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut flags = StreamFlags::default();
    flags.set(StreamFlags::SOCKET, options.is_socket);
    if SHORT_READ_ENDS && options.is_socket {
        flags.set(StreamFlags::UNIX, options.family == SocketFamily::Unix);
        flags.set(
            StreamFlags::SHORT_READ_ENDS,
            options.family != SocketFamily::Other,
        );
    }
    flags.set(StreamFlags::HALF_OPEN, options.allow_half_open);
    flags.set(StreamFlags::READ_ENDED, !options.readable);
    flags.set(StreamFlags::WRITE_ENDED, !options.writable);
    flags.set(StreamFlags::SHARED, options.shared);
    let Some(driver) = T::streams(StreamTable::driver) else {
        return Err(Error::watch(driver::loop_gone_error()));
    };
    let entry = StreamEntry {
        fd,
        driver,
        flags,
        soft_limit: limit(options.soft_limit.min(options.hard_limit)).max(1),
        hard_limit: limit(options.hard_limit),
        deadline: LazyDeadline::default(),
        active: Timestamp::default(),
        progress: Timestamp::default(),
        listeners: Listeners::new(),
        session: None,
        queue: None,
        extended: None,
        bytes_read: 0,
        bytes_written: 0,
        extra,
    };
    let stream = T::streams(|all| all.insert(entry)).flatten();
    let Some(stream) = stream else {
        return Err(Error::watch(io::ErrorKind::OutOfMemory.into()));
    };
    driver::hold();
    if options.blocks
        && let Err(error) = jobs::enable(&stream)
    {
        drop(stream.remove());
        driver::release();
        return Err(Error::watch(error));
    }
    Ok(stream.handle())
}

/// Registers a stream with the poller, and reads available data if it is wanted.
///
/// To be called once, after the listeners of the new stream were added. Bytes that they write during the first read are sent
/// with it; a stream that is closed by then is never registered with the poller.
pub fn start<T: Transport>(stream: T) {
    let Some(stream) = hold(stream) else { return };
    stream.with(|entry, _| {
        entry
            .flags
            .insert(StreamFlags::STARTED | StreamFlags::READ_READY)
    });
    reading::read_pass(&stream);
    flushing::flush(&stream);
    let watched = stream.with(|entry, id| {
        entry.flags.insert(StreamFlags::WATCHED);
        if entry.flags.contains(StreamFlags::JOBS) {
            return Ok(());
        }
        let interest = match (
            entry.flags.contains(StreamFlags::READ_ENDED)
                && !entry.flags.contains(StreamFlags::SOCKET),
            entry.flags.contains(StreamFlags::WRITE_ENDED)
                && !entry.flags.contains(StreamFlags::SOCKET),
        ) {
            (true, _) => Interest::Write,
            (_, true) => Interest::Read,
            _ => Interest::Both,
        };
        driver::watch(entry.fd.as_fd(), entry.token(id), interest, Trigger::Edge)
    });
    let Some(Err(error)) = watched else {
        return;
    };
    // epoll rejects descriptors that are always ready, such as /dev/null.
    if Errno::from_io_error(&error) != Some(Errno::PERM) {
        return closing::fail(&stream, Error::watch(error));
    }
    match jobs::enable(&stream) {
        Ok(()) => drop(stream.with(|entry, id| entry.schedule_read(id))),
        Err(error) => closing::fail(&stream, Error::watch(error)),
    }
}

/// Appends to the write queue; returns `false` if the caller should wait for `drain`, or the chunk was not accepted.
#[inline]
pub fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    flushing::write(stream, chunk)
}

/// Sends the write queue now, rather than at the end of the event or of the loop's iteration. Bytes that the descriptor does
/// not accept are sent later as usual.
///
/// Listeners may be called before this returns: `drain` listeners, and if sending fails, `error` and `close` listeners.
pub fn flush<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        flushing::flush(&stream);
    }
}

/// Sends a part of a file with `sendfile`, after the bytes already written and before later ones. Returns `false` if the
/// caller should wait for `drain`, which follows when the file is sent, or if the file was not accepted.
///
/// The bytes of the file are never in the memory of this process, so [`buffered`] does not count them. Up to 1 MiB is sent
/// before this returns, as far as the socket accepts it; the rest is sent as the peer reads. If the file has become shorter
/// in the meantime, the stream emits `error` (`UnexpectedEof`) and closes.
///
/// `sendfile` on a closed socket raises `SIGPIPE`, which Rust programs ignore by default.
///
/// # Errors
/// Returns the file if it cannot be sent that way and must be read and written instead: if the stream has filters or is not
/// a socket, and on systems other than Linux.
///
/// # Limits
/// 16 files can be queued; with one more, the stream emits `error` and closes.
pub fn write_file<T: Transport>(stream: T, file: FileRange) -> Result<bool, FileRange> {
    flushing::write_file(stream, file)
}

/// Sends the queue, ends the writing side, waits for the peer's end of stream up to the linger time, and closes.
pub fn end<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::end(&stream);
    }
}

/// Sends the queue and closes, for a peer that has sent all its data: if nothing from the peer is unread, the stream closes
/// at once, without waiting for the peer's end of stream. Otherwise the same as [`end`].
pub fn end_without_linger<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::end_without_linger(&stream);
    }
}

/// Sends the queue, then ends the writing side; reading continues.
pub fn shutdown_write<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::shutdown_write(&stream);
    }
}

/// Calls [`shutdown_write`]; ready when everything is sent and the writing side has ended. If the stream closes before, the
/// task is not woken.
pub fn poll_shutdown_write<T: Transport>(stream: T, context: &Context<'_>) -> Poll<()> {
    match hold(stream) {
        Some(stream) => ending::poll_shutdown_write(&stream, context),
        None => Poll::Ready(()),
    }
}

/// Closes at once; queued bytes are lost. If the queue is empty, filters still send their final bytes ([`Filter::ending`]);
/// bytes that the socket does not accept at once are lost.
pub fn close<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::close(&stream);
    }
}

/// Closes at once and resets a connection, so that the peer cannot mistake the received part for the whole.
pub fn reset<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        closing::reset_on_close(&stream);
        closing::close_now(&stream);
    }
}

/// Emits `error`, then closes.
pub fn fail<T: Transport>(stream: T, error: Error) {
    if let Some(stream) = hold(stream) {
        closing::fail(&stream, error);
    }
}

/// Reports that a callback of the stream panicked: emits `error`, then closes.
pub fn panicked<T: Transport>(stream: T, message: &str) {
    fail(
        stream,
        Error::Panic {
            message: message.into(),
        },
    );
}

/// Stops `data` and `end` until [`resume`].
pub fn pause<T: Transport>(stream: T) {
    with_entry(stream, |entry, _| {
        entry.flags.insert(StreamFlags::PAUSED);
        entry.flags.remove(StreamFlags::FLOWING);
    });
}

/// Resumes `data` and `end`; without a `data` listener the data is discarded.
pub fn resume<T: Transport>(stream: T) {
    with_entry(stream, |entry, id| {
        entry.flags.remove(StreamFlags::PAUSED);
        entry.flags.insert(StreamFlags::FLOWING);
        entry.schedule_read(id);
    });
}

/// Starts reading with the first `data` listener; to be called from [`Emitter::listener_added`].
pub fn listener_added<T: Transport>(stream: T, slot: u8) {
    if slot == T::DATA.slot() {
        with_entry(stream, |entry, id| entry.schedule_read(id));
    }
}

/// Returns whether `data` may still be emitted.
pub fn is_readable<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        !entry.flags.intersects(
            StreamFlags::READ_ENDED
                | StreamFlags::END_EMITTED
                | StreamFlags::ENDING
                | StreamFlags::CLOSING,
        )
    })
    .unwrap_or(false)
}

/// Returns whether [`write()`] accepts bytes.
pub fn is_writable<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| entry.is_writable()).unwrap_or(false)
}

/// Returns the number of bytes in the write queue, without the bytes of files ([`write_file`]). Bytes that have not passed
/// the filters yet are counted unfiltered.
pub fn buffered<T: Transport>(stream: T) -> usize {
    with_entry(stream, |entry, _| entry.queued()).unwrap_or(0)
}

/// Returns whether bytes or files are queued.
pub fn is_sending<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        entry.flags.contains(StreamFlags::FILES) || entry.queued() > 0
    })
    .unwrap_or(false)
}

/// Returns the numbers of bytes read from the descriptor and written to it.
pub fn byte_counts<T: Transport>(stream: T) -> (u64, u64) {
    with_entry(stream, |entry, _| (entry.bytes_read, entry.bytes_written)).unwrap_or_default()
}

/// Adds a filter to the stream, above the existing ones.
pub fn add_filter<T: Transport>(stream: T, filter: impl Filter) {
    let mut filter: Option<Box<dyn Filter>> = Some(Box::new(filter));
    let Some(stream) = hold(stream) else { return };
    // Bytes written before must not pass through the new filter.
    let follow_up = filtering::flush(&stream);
    ending::finish_pass(&stream, follow_up);
    stream.with(|entry, id| {
        let added = filter.take();
        entry.extended().filters.push(added);
        entry.flags.insert(StreamFlags::FILTERED);
        entry.schedule_read(id);
    });
    let follow_up = filtering::pass_undelivered(&stream);
    ending::finish_pass(&stream, follow_up);
}

/// Calls the filters so that they continue with data that they have retained ([`Filter::resumed`]). Listeners may be called before this
/// returns.
pub fn resume_filters<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        let follow_up = filtering::resume(&stream);
        ending::finish_pass(&stream, follow_up);
    }
}

/// Calls `f` with the topmost filter of a type; returns `None` if there is none. The filter is still available in `close`
/// listeners, but not while the filters are running.
///
/// `f` is called while a table is borrowed, and must not use any stream.
pub fn with_filter<T: Transport, F: Filter, R>(stream: T, f: impl FnOnce(&F) -> R) -> Option<R> {
    with_entry(stream, |entry, _| {
        entry.extended.as_ref()?.filters.find().map(f)
    })
    .flatten()
}

/// Returns the protocol that the filters have negotiated for the layer above them ([`Filter::alpn_protocol`]); `None` while
/// the filters are running.
pub fn alpn_protocol<T: Transport>(stream: T) -> Option<Vec<u8>> {
    with_entry(stream, |entry, _| {
        entry
            .extended
            .as_ref()?
            .filters
            .alpn_protocol()
            .map(Into::into)
    })
    .flatten()
}

/// Appends to the write queue the bytes that `f` appends to a buffer; the buffer may already hold bytes. Returns `None`
/// without calling `f` if the stream is not writable. Otherwise the same as [`write`](write()).
///
/// `f` is called during a borrow and must not use any stream.
#[inline]
pub fn write_with<T: Transport>(stream: T, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
    flushing::write_if(stream, |_| true, f)
}

/// Like [`write_with`], for a protocol: appends only if the stream has a session of type `S` and `allows` returns `true` for
/// it.
///
/// `allows` and `f` are called during a borrow and must not use any stream. One lookup covers the session and the queue.
#[inline]
pub fn write_for<T: Transport, S: Session<T>>(
    stream: T,
    allows: impl FnOnce(&S) -> bool,
    f: impl FnOnce(&mut Vec<u8>),
) -> Option<bool> {
    flushing::write_if(
        stream,
        |entry| session::session_as(entry).is_some_and(allows),
        f,
    )
}

/// Returns the stream of a token that another driver derived from the stream's id ([`Id::token`]).
pub fn find<T: Transport>(token: Token) -> Option<T> {
    let found = T::streams(|all| all.find(token)).flatten()?;
    Some(found.handle())
}

impl<T: Transport> Visit<T> {
    /// Appends to the write queue; see [`write`](write()).
    pub fn write(&self, chunk: impl Chunk) -> bool {
        write(self.handle(), chunk)
    }

    /// Appends to the write queue the bytes that `f` appends; see [`write_with`].
    #[inline]
    pub fn write_with(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        flushing::write_with(self, f)
    }
}
