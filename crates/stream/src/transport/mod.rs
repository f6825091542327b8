//! The engine of every stream over a file descriptor: reading, writing, ending, closing.
//!
//! A crate that has a kind of stream (connections, pipes) implements [`Transport`] for its `Copy` handle and gets the
//! rest. Streams of a kind live in one [`Streams`] table for each thread.
//!
//! ```text
//! visit ─→ reading ─→ filtering ─→ session or listeners      an event finds its stream once, and holds it
//!   │         └─────→ ending ─→ closing                      what this leads to
//!   └────→ flushing ─→ filtering ─→ output ─→ sending        what was written meanwhile goes out
//! ```
//!
//! Each file knows those to its right and below. Cost of a chunk that is echoed: one read and one write, no allocation, no clock, no
//! lock.

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
mod stream;
mod visit;

use std::any::Any;
use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use uptick_emitter::{Emitter, Event, EventSet, Listeners};
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Id, Interest, SharedTable, Token, Trigger};

use crate::chunk::Chunk;
use crate::error::Error;
use crate::file_range::FileRange;
use crate::filter::Filter;
use flags::Flags;
use stream::{Entry, Stream, hold, with_entry};

pub use acknowledged::{acknowledged, unsent};
pub use options::{HARD_LIMIT, LINGER, SOFT_LIMIT, STALL_LIMIT, SocketFamily, TransportOptions};
pub use session::{
    ChannelSession, Session, clear_session, session, set_session, unshift, visit, with_session,
};
pub use stream::Visit;
pub use visit::TransportDriver;

/// A `Copy` handle of a stream over a file descriptor.
pub trait Transport: Emitter<Events = Self> + EventSet<Frequent = Bytes> + Copy + Debug {
    /// The payload of the `error` event.
    type Error: Clone + Display + 'static;
    /// The value kept with each stream beside the transport's own state.
    type Extra: 'static;

    /// The event of bytes that have come.
    const DATA: Event<Self, Bytes>;
    /// The event of the peer's end.
    const END: Event<Self, ()>;
    /// The event of a write queue that has room again.
    const DRAIN: Event<Self, ()>;
    /// The event of a failure.
    const ERROR: Event<Self, Self::Error>;
    /// The event of the close.
    const CLOSE: Event<Self, ()>;

    /// The driver of this kind of stream: a [`TransportDriver`].
    const DRIVER: &'static dyn Driver;

    /// The handle of the stream under an id.
    fn from_id(id: Id) -> Self;

    /// The id in the handle.
    fn to_id(self) -> Id;

    /// Calls `f` with this thread's streams; `None` while the thread is being torn down. `f` calls no listeners.
    fn streams<R>(f: impl FnOnce(&Streams<Self>) -> R) -> Option<R>;

    /// Creates the payload of the `error` event, which names the stream.
    fn to_error(extra: &Self::Extra, error: Error) -> Self::Error;

    /// Called once when the stream closes, before its `close` listeners.
    fn closing(self) {}

    /// Called when the stream is gone, after its `close` listeners.
    fn gone(extra: Self::Extra) {
        drop(extra);
    }
}

/// The streams of one kind and thread.
pub struct Streams<T: Transport> {
    table: SharedTable<Stream<T>>,
    driver: Cell<Option<DriverId>>,
}

impl<T: Transport> Streams<T> {
    /// Creates an empty table.
    pub const fn new() -> Self {
        Streams {
            table: SharedTable::new(),
            driver: Cell::new(None),
        }
    }

    /// Returns the number of streams.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether there are no streams.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns the handles of all streams.
    pub fn handles(&self) -> Vec<T> {
        self.table.ids().into_iter().map(T::from_id).collect()
    }

    /// Returns whether a handle's stream is there.
    pub fn contains(&self, stream: T) -> bool {
        self.table.get(stream.to_id()).is_some()
    }

    /// Calls `f` with the listeners of a stream.
    #[inline]
    pub fn with_listeners<R>(
        &self,
        stream: T,
        f: impl FnOnce(&mut Listeners<Bytes>) -> R,
    ) -> Option<R> {
        self.look(stream.to_id(), |entry, _| f(&mut entry.listeners))
    }

    /// Calls `f` with the value kept with a stream.
    #[inline]
    pub fn with_extra<R>(&self, stream: T, f: impl FnOnce(&mut T::Extra) -> R) -> Option<R> {
        self.look(stream.to_id(), |entry, _| f(&mut entry.extra))
    }

    /// Calls `f` with the descriptor of a stream.
    pub fn with_descriptor<R>(&self, stream: T, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.look(stream.to_id(), |entry, _| f(entry.fd.as_fd()))
    }

    #[inline]
    fn look<R>(&self, id: Id, f: impl FnOnce(&mut Entry<T>, Id) -> R) -> Option<R> {
        let found = self
            .table
            .look(id, |stream| stream.with(|entry| f(entry, id)));
        found.flatten()
    }

    #[inline]
    fn get(&self, id: Id) -> Option<Visit<T>> {
        self.table.get(id).map(Visit::new)
    }

    #[inline]
    fn find(&self, token: Token) -> Option<Visit<T>> {
        self.table.find(token).map(Visit::new)
    }

    fn insert(&self, entry: Entry<T>) -> Option<Visit<T>> {
        let held = self.table.insert()?;
        held.fill(entry);
        Some(Visit::new(held))
    }

    fn remove(&self, id: Id) -> bool {
        self.table.remove(id)
    }

    fn reuse(&self, token: Token) {
        self.table.reuse(token);
    }

    /// The driver of the streams, registered with the thread's loop.
    fn driver(&self) -> DriverId {
        if let Some(driver) = self.driver.get() {
            return driver;
        }
        let driver = driver::register(T::DRIVER);
        self.driver.set(Some(driver));
        driver
    }
}

impl<T: Transport> Default for Streams<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Debug for Streams<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Whether the poller reports what comes to a socket after a short read as a new event. The others are read until they
/// block. So are terminals, which give one line at a time, and pipes.
const SHORT_READ_ENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Takes a descriptor in as a stream. It reads nothing until [`start`].
///
/// # Errors
/// When the table is full, which takes 2³² streams; while the thread is torn down; for a descriptor that blocks also when the
/// process has no descriptor left.
pub fn open<T: Transport>(
    fd: OwnedFd,
    options: TransportOptions,
    extra: T::Extra,
) -> Result<T, Error> {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut flags = Flags::default();
    flags.set(Flags::SOCKET, options.is_socket);
    if SHORT_READ_ENDS && options.is_socket {
        flags.set(Flags::UNIX, options.family == SocketFamily::Unix);
        flags.set(
            Flags::SHORT_READ_ENDS,
            options.family != SocketFamily::Other,
        );
    }
    flags.set(Flags::HALF_OPEN, options.allow_half_open);
    flags.set(Flags::READ_OVER, !options.readable);
    flags.set(Flags::WRITE_OVER, !options.writable);
    flags.set(Flags::SHARED, options.shared);
    let Some(driver) = T::streams(Streams::driver) else {
        return Err(Error::watch(driver::gone()));
    };
    let entry = Entry {
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
        rare: None,
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

/// Starts to watch a stream, and reads what is there already when data is wanted.
///
/// To be called once, after the listeners of the new stream were added. What they write during the first read is sent with it, and a
/// stream that is closed by then is never registered with the poller.
pub fn start<T: Transport>(stream: T) {
    let Some(stream) = hold(stream) else { return };
    stream.with(|entry, _| entry.flags.insert(Flags::STARTED | Flags::READ_READY));
    reading::read_pass(&stream);
    flushing::flush(&stream);
    let watched = stream.with(|entry, id| {
        entry.flags.insert(Flags::WATCHED);
        if entry.flags.contains(Flags::JOBS) {
            return Ok(());
        }
        let interest = match (
            entry.flags.contains(Flags::READ_OVER) && !entry.flags.contains(Flags::SOCKET),
            entry.flags.contains(Flags::WRITE_OVER) && !entry.flags.contains(Flags::SOCKET),
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
    // epoll says so of what is always ready, such as /dev/null.
    if Errno::from_io_error(&error) != Some(Errno::PERM) {
        return closing::fail(&stream, Error::watch(error));
    }
    match jobs::enable(&stream) {
        Ok(()) => drop(stream.with(|entry, id| entry.schedule_read(id))),
        Err(error) => closing::fail(&stream, Error::watch(error)),
    }
}

/// Appends to the write queue; returns `false` when the caller should wait for `drain`, or the chunk was not taken.
#[inline]
pub fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    flushing::write(stream, chunk)
}

/// Sends what was written now, rather than at the end of the event or of the loop's iteration. What the descriptor does not take
/// is sent later as usual.
///
/// Listeners may be called before this returns: of `drain`, and where sending fails, of `error` and `close`.
pub fn flush<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        flushing::flush(&stream);
    }
}

/// Sends a part of a file through the kernel, behind what is written already and before what is written from now on; returns
/// `false` when the caller should wait for `drain`, which comes when the file is sent, or the file was not taken.
///
/// Its bytes are never in this process's memory, so [`buffered`] does not count them. As many as the socket takes are sent
/// before this returns, up to 1 MiB, and the rest as the peer takes it. A file that has become shorter meanwhile is an
/// `error` (`UnexpectedEof`), and the stream closes.
///
/// The kernel has no way to send a file to a socket that is gone without a `SIGPIPE`, which Rust programs ignore unless
/// they were told otherwise.
///
/// # Errors
/// Returns the file when it cannot be sent that way, and has to be read and written instead: on a stream that has filters
/// or is no socket, and on systems other than Linux.
///
/// # Limits
/// 16 files wait at most; with one more the stream gets an `error` and closes.
pub fn write_file<T: Transport>(stream: T, file: FileRange) -> Result<bool, FileRange> {
    flushing::write_file(stream, file)
}

/// Sends what is queued, then ends this side, waits for the peer's end for the linger time at most, and closes.
pub fn end<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::end(&stream);
    }
}

/// Sends what is queued and closes, for a peer that has sent all that it will: if nothing of it is unread, the close follows at
/// once, without waiting for the peer's end. Otherwise as [`end`].
pub fn end_without_linger<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::end_without_linger(&stream);
    }
}

/// Sends what is queued, then ends this side; reading goes on.
pub fn shutdown_write<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::shutdown_write(&stream);
    }
}

/// [`shutdown_write`]s; ready when everything is sent and this side has ended. A stream that closes before wakes nobody.
pub fn poll_shutdown_write<T: Transport>(stream: T, context: &Context<'_>) -> Poll<()> {
    match hold(stream) {
        Some(stream) => ending::poll_shutdown_write(&stream, context),
        None => Poll::Ready(()),
    }
}

/// Closes at once; what is queued is lost. Where nothing is lost, filters still send what ends a stream in good order
/// ([`Filter::ending`]), as far as the socket takes it at once.
pub fn close<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        ending::close(&stream);
    }
}

/// Closes at once, and resets a connection, so that its peer cannot take what it got for all there was.
pub fn reset<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        closing::forget(&stream);
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
        entry.flags.insert(Flags::PAUSED);
        entry.flags.remove(Flags::FLOWING);
    });
}

/// Emits `data` and `end` again, also without a listener for `data`.
pub fn resume<T: Transport>(stream: T) {
    with_entry(stream, |entry, id| {
        entry.flags.remove(Flags::PAUSED);
        entry.flags.insert(Flags::FLOWING);
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
        !entry
            .flags
            .intersects(Flags::READ_OVER | Flags::ENDED | Flags::ENDING | Flags::CLOSING)
    })
    .unwrap_or(false)
}

/// Returns whether [`write()`] takes anything.
pub fn is_writable<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| entry.is_writable()).unwrap_or(false)
}

/// Returns the number of bytes in the write queue, without those of files ([`write_file`]). Bytes that have not passed the
/// filters yet count as they are.
pub fn buffered<T: Transport>(stream: T) -> usize {
    with_entry(stream, |entry, _| entry.queued()).unwrap_or(0)
}

/// Returns whether anything waits to be sent, bytes or files.
pub fn is_sending<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        entry.flags.contains(Flags::FILES) || entry.queued() > 0
    })
    .unwrap_or(false)
}

/// Returns the numbers of bytes that were read from the descriptor and written to it.
pub fn byte_counts<T: Transport>(stream: T) -> (u64, u64) {
    with_entry(stream, |entry, _| (entry.bytes_read, entry.bytes_written)).unwrap_or_default()
}

/// Sets the limits of the write queue, in bytes; `None` leaves one as it is. A soft limit above the hard one counts as
/// the hard one, one of 0 as 1. Default: 64 KiB and 16 MiB.
pub fn set_write_limits<T: Transport>(stream: T, soft: Option<usize>, hard: Option<usize>) {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    with_entry(stream, |entry, id| {
        entry.hard_limit = hard.map_or(entry.hard_limit, limit);
        entry.soft_limit = soft.map_or(entry.soft_limit, limit);
        entry.soft_limit = entry.soft_limit.min(entry.hard_limit).max(1);
        if entry.flags.contains(Flags::FULL) {
            // A `drain` may be owed by now.
            entry.schedule_flush(id);
        }
    });
}

/// Sets whether the stream stays open for writing after the peer's end. Default: false.
pub fn set_allow_half_open<T: Transport>(stream: T, allow: bool) {
    with_entry(stream, |entry, _| entry.flags.set(Flags::HALF_OPEN, allow));
}

/// Sets how long the stream may be without a byte in either direction, acknowledged bytes included. Default: `None`, no
/// limit.
pub fn set_idle_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, id| {
        entry.rare().idle_limit = limit;
        entry.active = Timestamp::now();
        deadlines::arm(entry, id);
    });
}

/// Sets how long the peer may acknowledge nothing while something waits for it; `None` switches the limit off. Default: 30 s.
pub fn set_stall_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, id| {
        entry.rare().stall_limit = limit;
        deadlines::arm(entry, id);
    });
}

/// Sets how long an ended stream waits for the peer's end. Default: 1 s.
pub fn set_linger<T: Transport>(stream: T, time: Duration) {
    with_entry(stream, |entry, id| {
        entry.rare().linger = time;
        deadlines::arm(entry, id);
    });
}

/// Attaches a value to the stream, in place of the one before. Default: `None`.
pub fn set_extension<T: Transport>(stream: T, extension: Option<Rc<dyn Any>>) {
    // Both the old value and one that is not taken are dropped after the borrow: they may use the stream.
    let mut extension = extension;
    with_entry(stream, |entry, _| {
        std::mem::swap(&mut entry.rare().extension, &mut extension);
    });
    drop(extension);
}

/// Returns the value attached to the stream.
pub fn extension<T: Transport>(stream: T) -> Option<Rc<dyn Any>> {
    with_entry(stream, |entry, _| {
        entry.rare.as_ref().and_then(|rare| rare.extension.clone())
    })
    .flatten()
}

/// Puts a filter into the stream, above those that are there.
pub fn add_filter<T: Transport>(stream: T, filter: impl Filter) {
    let mut filter: Option<Box<dyn Filter>> = Some(Box::new(filter));
    let Some(stream) = hold(stream) else { return };
    // What was written before is not for this filter.
    let after = filtering::flush(&stream);
    ending::after(&stream, after);
    stream.with(|entry, id| {
        let added = filter.take();
        entry.rare().filters.push(added);
        entry.flags.insert(Flags::FILTERED);
        entry.schedule_read(id);
    });
    let after = filtering::pass_held(&stream);
    ending::after(&stream, after);
}

/// Lets the filters continue with what they have kept back ([`Filter::resumed`]). Listeners may be called before it returns.
pub fn resume_filters<T: Transport>(stream: T) {
    if let Some(stream) = hold(stream) {
        let after = filtering::resume(&stream);
        ending::after(&stream, after);
    }
}

/// Calls `f` with the highest filter of a type; `None` when there is none. It is still there in `close` listeners, and
/// not while the filters are running.
///
/// `f` is called inside of the borrow of a table and calls no stream.
pub fn with_filter<T: Transport, F: Filter, R>(stream: T, f: impl FnOnce(&F) -> R) -> Option<R> {
    with_entry(stream, |entry, _| {
        entry.rare.as_ref()?.filters.find().map(f)
    })
    .flatten()
}

/// Returns the protocol for the layer above the filters that they have negotiated ([`Filter::alpn_protocol`]); `None` while
/// the filters are running.
pub fn alpn_protocol<T: Transport>(stream: T) -> Option<Vec<u8>> {
    with_entry(stream, |entry, _| {
        entry.rare.as_ref()?.filters.alpn_protocol().map(Into::into)
    })
    .flatten()
}

/// Appends to the write queue what `f` appends to a buffer that may hold bytes already; `None`, and `f` not called, when
/// the stream takes nothing. Otherwise as [`write`](write()).
///
/// `f` is called inside of a borrow and calls no stream.
#[inline]
pub fn write_with<T: Transport>(stream: T, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
    flushing::write_if(stream, |_| true, f)
}

/// As [`write_with`], for a protocol: appends only if the stream has a session of a type and `allows` returns true for it.
///
/// `allows` and `f` are called inside of a borrow and call no stream. Cost: one look for the session and the queue.
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

/// Returns the stream of a token that another driver than the stream's own made of its id ([`Id::token`]).
pub fn find<T: Transport>(token: Token) -> Option<T> {
    let found = T::streams(|all| all.find(token)).flatten()?;
    Some(found.handle())
}

impl<T: Transport> Visit<T> {
    /// Appends to the write queue; see [`write`](write()).
    pub fn write(&self, chunk: impl Chunk) -> bool {
        write(self.handle(), chunk)
    }

    /// Appends to the write queue what `f` appends; see [`write_with`].
    #[inline]
    pub fn write_with(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        flushing::write_with(self, f)
    }
}
