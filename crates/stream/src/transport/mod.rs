//! The engine of every stream over a file descriptor: reading, writing, ending, closing.
//!
//! A crate that has a kind of stream (connections, pipes) implements [`Transport`] for its `Copy` handle and gets the
//! rest. Streams of a kind live in one [`Transports`] table for each thread.
//!
//! Cost of a chunk that is echoed: one read and one write, no allocation, no clock, no lock. The read goes into the
//! thread's buffer, the listener gets a part of it, what it writes is copied into the stream's queue, and that is sent
//! when the listener has returned. What is written at other times is sent at the end of the iteration.

mod acknowledged;
mod deadlines;
mod dispatch;
mod ending;
mod entry;
mod files;
mod filtering;
mod flags;
mod gathering;
mod jobs;
mod protocol;
mod reading;
mod spare;
mod writing;

use std::any::Any;
use std::fmt::{Debug, Display};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use uptick_emitter::{Emitter, Event, EventSet, Listeners};
use uptick_event_loop::driver::{self, Driver, Timestamp};
use uptick_event_loop::{DriverId, Id, Interest, Table, Token, Trigger};

use crate::chunk::Chunk;
use crate::error::Error;
use crate::file_range::FileRange;
use crate::filter::Filter;
use entry::Entry;
use flags::Flags;
use spare::Spare;

pub use acknowledged::{acknowledged, unsent};
pub use dispatch::TransportDriver;
pub use entry::{HARD_LIMIT, LINGER, SOFT_LIMIT, STALL_LIMIT, SocketFamily, TransportOptions};
pub use protocol::{Protocol, clear_protocol, set_protocol, unshift, write_with};

/// A `Copy` handle of a stream over a file descriptor.
pub trait Transport: Emitter<Events = Self> + EventSet + Copy + Debug {
    /// What the `error` event carries.
    type Error: Clone + Display + 'static;
    /// What is kept with each stream beside the transport's own state.
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

    /// Runs `f` on this thread's streams; `None` while the thread is being torn down. `f` never calls listeners.
    fn with_transports<R>(f: impl FnOnce(&mut Transports<Self>) -> R) -> Option<R>;

    /// Makes the payload of the `error` event: the place to say which stream it was.
    fn to_error(extra: &Self::Extra, error: Error) -> Self::Error;

    /// The stream closes; called once, before its `close` listeners.
    fn closing(self) {}

    /// The stream is gone; called after its `close` listeners.
    fn gone(extra: Self::Extra) {
        drop(extra);
    }
}

/// The streams of one kind and thread.
#[derive(Debug)]
pub struct Transports<T: Transport> {
    table: Table<Entry<T>>,
    driver: Option<DriverId>,
    spare: Spare,
}

impl<T: Transport> Transports<T> {
    /// Makes an empty table.
    pub const fn new() -> Self {
        Transports {
            table: Table::new(),
            driver: None,
            spare: Spare::new(),
        }
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no streams.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The handles of all streams.
    pub fn handles(&self) -> impl Iterator<Item = T> + '_ {
        self.table.ids().map(T::from_id)
    }

    /// The listeners of a stream.
    #[inline]
    pub fn listeners(&mut self, stream: T) -> Option<&mut Listeners> {
        Some(&mut self.table.get_mut(stream.to_id())?.listeners)
    }

    /// What is kept with a stream.
    pub fn extra(&mut self, stream: T) -> Option<&mut T::Extra> {
        Some(&mut self.table.get_mut(stream.to_id())?.extra)
    }

    /// The descriptor of a stream.
    pub fn descriptor(&self, stream: T) -> Option<BorrowedFd<'_>> {
        Some(self.table.get(stream.to_id())?.fd.as_fd())
    }

    fn token(&mut self, id: Id) -> Token {
        let driver = *self
            .driver
            .get_or_insert_with(|| driver::register(T::DRIVER));
        id.token(driver)
    }
}

impl<T: Transport> Default for Transports<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the poller reports what comes to a socket after a short read as a new event. The others are read until they
/// block. So are terminals, which give one line at a time, and pipes.
const SHORT_READ_ENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Takes a descriptor in as a stream. It reads nothing until [`start`].
///
/// # Errors
/// When the table is full, which takes 2³² streams; while the thread is torn down; for a descriptor that blocks also when the process has no descriptor
/// left.
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
    let entry = Entry {
        fd,
        flags,
        soft_limit: limit(options.soft_limit.min(options.hard_limit)).max(1),
        hard_limit: limit(options.hard_limit),
        listeners: Listeners::new(),
        served: None,
        queue: None,
        rare: None,
        deadline: None,
        active: Timestamp::default(),
        progress: Timestamp::default(),
        bytes_read: 0,
        bytes_written: 0,
        extra,
    };
    let mut entry = Some(entry);
    let id = T::with_transports(|all| {
        let id = all.table.insert(entry.take()?)?;
        all.token(id);
        Some(id)
    });
    match id {
        Some(Some(id)) => {
            driver::hold();
            let stream = T::from_id(id);
            if options.blocks
                && let Err(error) = jobs::enable(stream)
            {
                drop(T::with_transports(|all| all.table.remove(id)));
                driver::release();
                return Err(Error::watch(error));
            }
            Ok(stream)
        }
        Some(None) => Err(Error::watch(io::ErrorKind::OutOfMemory.into())),
        None => Err(Error::watch(driver::gone())),
    }
}

/// Begins to watch a stream, and reads what is there already when somebody listens.
///
/// To be called once, when those who are told of the stream have had the chance to listen. A stream that ends with its
/// first read is never registered with the poller.
pub fn start<T: Transport>(stream: T) {
    let started = with_entry(stream, |entry, _| {
        entry.flags.insert(Flags::STARTED | Flags::READ_READY);
    });
    if started.is_none() {
        return;
    }
    reading::read_pass(stream);
    let watched = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let entry = all.table.get_mut(id)?;
        entry.flags.insert(Flags::WATCHED);
        if entry.flags.contains(Flags::JOBS) {
            return Some(Ok(()));
        }
        let interest = match (
            entry.flags.contains(Flags::READ_OVER) && !entry.flags.contains(Flags::SOCKET),
            entry.flags.contains(Flags::WRITE_OVER) && !entry.flags.contains(Flags::SOCKET),
        ) {
            (true, _) => Interest::Write,
            (_, true) => Interest::Read,
            _ => Interest::Both,
        };
        Some(driver::watch(
            entry.fd.as_fd(),
            token,
            interest,
            Trigger::Edge,
        ))
    });
    let Some(Some(Err(error))) = watched else {
        return;
    };
    // epoll says so of what is always ready, such as /dev/null.
    if Errno::from_io_error(&error) != Some(Errno::PERM) {
        return ending::fail(stream, Error::watch(error));
    }
    match jobs::enable(stream) {
        Ok(()) => drop(with_entry(stream, |entry, token| {
            reading::schedule(entry, token)
        })),
        Err(error) => ending::fail(stream, Error::watch(error)),
    }
}

/// Appends to the write queue; `false` when the caller should wait for `drain`, or the chunk was not taken.
#[inline]
pub fn write<T: Transport>(stream: T, chunk: impl Chunk) -> bool {
    writing::write(stream, chunk)
}

/// Has the kernel send a part of a file behind what is written already, and before what is written from now on;
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
/// Gives the file back when it cannot be sent that way, and is to be read and written instead: on a stream that has filters
/// or is no socket, and on systems other than Linux.
///
/// # Limits
/// 16 files wait at most; with one more the stream gets an `error` and closes.
pub fn write_file<T: Transport>(stream: T, file: FileRange) -> Result<bool, FileRange> {
    files::write(stream, file)
}

/// Sends what is queued, then ends this side, waits for the peer's end for the linger time at most, and closes.
pub fn end<T: Transport>(stream: T) {
    ending::end(stream);
}

/// Sends what is queued, then ends this side; reading goes on.
pub fn shutdown_write<T: Transport>(stream: T) {
    ending::shutdown_write(stream);
}

/// [`shutdown_write`]s; ready when everything is sent and this side has ended. A stream that closes before wakes nobody.
pub fn poll_shutdown_write<T: Transport>(stream: T, context: &Context<'_>) -> Poll<()> {
    ending::poll_shutdown_write(stream, context)
}

/// Closes at once; what is queued is lost. Where nothing is lost, filters still send what ends a stream in good order
/// ([`Filter::ending`]), as far as the socket takes it at once.
pub fn close<T: Transport>(stream: T) {
    ending::close(stream);
}

/// Closes at once, and resets a connection, so that its peer cannot take what it got for all there was.
pub fn reset<T: Transport>(stream: T) {
    ending::forget(stream);
    ending::close_now(stream);
}

/// Emits `error`, then closes.
pub fn fail<T: Transport>(stream: T, error: Error) {
    ending::fail(stream, error);
}

/// Reports that a callback of the stream panicked: emits `error`, then closes.
pub fn panicked<T: Transport>(stream: T, message: &str) {
    ending::fail(
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

/// Lets `data` and `end` come, also when nobody listens to `data`.
pub fn resume<T: Transport>(stream: T) {
    with_entry(stream, |entry, token| {
        entry.flags.remove(Flags::PAUSED);
        entry.flags.insert(Flags::FLOWING);
        reading::schedule(entry, token);
    });
}

/// To be called from [`Emitter::listener_added`]: the first `data` listener lets the data come.
pub fn listener_added<T: Transport>(stream: T, slot: u8) {
    if slot == T::DATA.slot() {
        with_entry(stream, |entry, token| reading::schedule(entry, token));
    }
}

/// Whether `data` may still come.
pub fn is_readable<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        !entry
            .flags
            .intersects(Flags::READ_OVER | Flags::ENDED | Flags::ENDING | Flags::CLOSING)
    })
    .unwrap_or(false)
}

/// Whether [`write()`] takes anything.
pub fn is_writable<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| entry.is_writable()).unwrap_or(false)
}

/// How many bytes wait in the write queue, without those of files ([`write_file`]). Those that have not passed the filters
/// yet count as they are.
pub fn buffered<T: Transport>(stream: T) -> usize {
    with_entry(stream, |entry, _| entry.queued()).unwrap_or(0)
}

/// Whether anything waits to be sent, bytes or files.
pub fn is_sending<T: Transport>(stream: T) -> bool {
    with_entry(stream, |entry, _| {
        entry.flags.contains(Flags::FILES) || entry.queued() > 0
    })
    .unwrap_or(false)
}

/// How many bytes were read from the descriptor and written to it.
pub fn byte_counts<T: Transport>(stream: T) -> (u64, u64) {
    with_entry(stream, |entry, _| (entry.bytes_read, entry.bytes_written)).unwrap_or_default()
}

/// Sets the limits of the write queue, in bytes; `None` leaves one as it is. A soft limit above the hard one counts as
/// the hard one, one of 0 as 1. Default: 64 KiB and 16 MiB.
pub fn set_write_limits<T: Transport>(stream: T, soft: Option<usize>, hard: Option<usize>) {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    with_entry(stream, |entry, token| {
        entry.hard_limit = hard.map_or(entry.hard_limit, limit);
        entry.soft_limit = soft.map_or(entry.soft_limit, limit);
        entry.soft_limit = entry.soft_limit.min(entry.hard_limit).max(1);
        if entry.flags.contains(Flags::FULL) {
            // A `drain` may be owed by now.
            writing::queue_flush(entry, token);
        }
    });
}

/// Sets whether the stream stays open for writing after the peer's end. Default: false.
pub fn set_allow_half_open<T: Transport>(stream: T, allow: bool) {
    with_entry(stream, |entry, _| entry.flags.set(Flags::HALF_OPEN, allow));
}

/// Sets how long the stream may be without a byte in either direction, acknowledged bytes included. Default: `None`, for as
/// long as it likes.
pub fn set_idle_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, _| {
        entry.rare().idle_limit = limit;
        entry.active = Timestamp::now();
    });
    deadlines::arm(stream);
}

/// Sets how long the peer may acknowledge nothing while something waits for it; `None` switches the limit off. Default: 30 s.
pub fn set_stall_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, _| entry.rare().stall_limit = limit);
    deadlines::arm(stream);
}

/// Sets how long an ended stream waits for the peer's end. Default: 1 s.
pub fn set_linger<T: Transport>(stream: T, time: Duration) {
    with_entry(stream, |entry, _| entry.rare().linger = time);
    deadlines::arm(stream);
}

/// Keeps a value with the stream, in the place of the one before. Default: `None`.
pub fn set_data<T: Transport>(stream: T, data: Option<Rc<dyn Any>>) {
    // Both the old value and one that is not taken are dropped after the borrow: they may use the stream.
    let mut data = data;
    with_entry(stream, |entry, _| {
        std::mem::swap(&mut entry.rare().data, &mut data);
    });
    drop(data);
}

/// The value kept with the stream.
pub fn data<T: Transport>(stream: T) -> Option<Rc<dyn Any>> {
    with_entry(stream, |entry, _| {
        entry.rare.as_ref().and_then(|rare| rare.data.clone())
    })
    .flatten()
}

/// Puts a filter into the stream, above those that are there.
pub fn add_filter<T: Transport>(stream: T, filter: impl Filter) {
    let mut filter: Option<Box<dyn Filter>> = Some(Box::new(filter));
    // What was written before is not for this filter.
    filtering::pass(stream, None);
    with_entry(stream, |entry, token| {
        let added = filter.take();
        entry.rare().filters.push(added);
        entry.flags.insert(Flags::FILTERED);
        reading::schedule(entry, token);
    });
    filtering::pass_held(stream);
}

/// Has the filters go on with what they have kept back ([`Filter::resumed`]). Listeners are told before it returns.
pub fn resume_filters<T: Transport>(stream: T) {
    filtering::resume(stream);
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

#[inline]
fn with_entry<T: Transport, R>(stream: T, f: impl FnOnce(&mut Entry<T>, Token) -> R) -> Option<R> {
    T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        all.table.get_mut(id).map(|entry| f(entry, token))
    })
    .flatten()
}
