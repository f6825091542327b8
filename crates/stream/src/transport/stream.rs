//! The state of a stream, and access to it by its handle or through a visit.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners};
use uptick_event_loop::driver::{LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Id, Readiness, TableRef, Token, driver};

use super::files::QueuedFiles;
use super::flags::StreamFlags;
use super::jobs::BlockingJobs;
use super::options::{LINGER, STALL_LIMIT};
use super::session::Session;
use super::{StreamTable, Transport};
use crate::error::Error;
use crate::filter::{FilterEvent, Filters};
use crate::read_buffer::ReadMethod;
use crate::write_queue::WriteQueue;

/// The slot of a stream in its table; empty when the stream is gone.
pub(super) struct StreamSlot<T: Transport> {
    entry: RefCell<Option<StreamEntry<T>>>,
}

impl<T: Transport> Default for StreamSlot<T> {
    fn default() -> Self {
        StreamSlot {
            entry: RefCell::new(None),
        }
    }
}

/// The state of a stream.
pub(super) struct StreamEntry<T: Transport> {
    pub(super) fd: OwnedFd,
    pub(super) driver: DriverId,
    pub(super) flags: StreamFlags,
    pub(super) soft_limit: u32,
    pub(super) hard_limit: u32,
    pub(super) deadline: LazyDeadline,
    /// Time of the last activity; updated only while a limit depends on it.
    pub(super) active: Timestamp,
    /// Time at which bytes were last sent or acknowledged while the descriptor was full, or at which the stream started to
    /// linger.
    pub(super) progress: Timestamp,
    pub(super) listeners: Listeners<Bytes>,
    /// The session that receives the events in place of the listeners.
    pub(super) session: Option<Rc<dyn Session<T>>>,
    /// Unsent bytes; `None` if there are none.
    pub(super) queue: Option<Box<WriteQueue>>,
    pub(super) extended: Option<Box<ExtendedState>>,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) extra: T::Attachment,
}

/// State that most streams never need.
pub(super) struct ExtendedState {
    pub(super) filters: Filters,
    /// Bytes that passed the filters while reading was paused, and `undelivered_end` if end of stream follows them.
    pub(super) undelivered: VecDeque<Bytes>,
    pub(super) undelivered_end: bool,
    /// Writes and ends postponed while the filters are running.
    pub(super) postponed: VecDeque<FilterEvent>,
    /// Written bytes that have not passed the filters yet.
    pub(super) gathered: Option<Box<WriteQueue>>,
    pub(super) jobs: Option<Box<BlockingJobs>>,
    /// Files queued after the bytes.
    pub(super) files: QueuedFiles,
    /// The cause of a failure inside a callback.
    pub(super) failure: Option<Error>,
    /// The waker of a task that waits until everything is sent and the writing side has ended.
    pub(super) shutdown_waker: Option<Waker>,
    pub(super) idle_limit: Option<Duration>,
    pub(super) stall_limit: Option<Duration>,
    pub(super) linger: Duration,
    /// Time of the last check of the acknowledged bytes, and their number then.
    pub(super) checked_at: Option<Timestamp>,
    pub(super) acknowledged: u64,
    /// `true` if the kernel held bytes at the last check for which the peer had no room.
    pub(super) had_unsent: bool,
    pub(super) extension: Option<Rc<dyn Any>>,
}

impl Default for ExtendedState {
    fn default() -> Self {
        ExtendedState {
            filters: Filters::default(),
            undelivered: VecDeque::new(),
            undelivered_end: false,
            postponed: VecDeque::new(),
            gathered: None,
            jobs: None,
            files: QueuedFiles::new(),
            failure: None,
            shutdown_waker: None,
            idle_limit: None,
            stall_limit: Some(STALL_LIMIT),
            linger: LINGER,
            checked_at: None,
            acknowledged: 0,
            had_unsent: false,
            extension: None,
        }
    }
}

impl ExtendedState {
    /// Returns whether a file is sent next, so that the kernel may combine the bytes before it with the file.
    pub(super) fn file_is_next(&self) -> bool {
        self.files.front().is_some_and(|file| !file.is_empty())
    }
}

impl<T: Transport> StreamSlot<T> {
    pub(super) fn fill(&self, entry: StreamEntry<T>) {
        self.entry.replace(Some(entry));
    }

    pub(super) fn take(&self) -> Option<StreamEntry<T>> {
        self.entry.take()
    }

    /// Calls `f` with the state; `f` must not call a listener, session or filter.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut StreamEntry<T>) -> R) -> Option<R> {
        self.entry.borrow_mut().as_mut().map(f)
    }
}

/// A stream that is held while its callbacks run. Its slot is kept in the meantime, even if the stream closes.
pub struct Visit<T: Transport> {
    held: TableRef<StreamSlot<T>>,
}

impl<T: Transport> Visit<T> {
    #[inline]
    pub(super) fn new(held: TableRef<StreamSlot<T>>) -> Self {
        Visit { held }
    }

    /// Returns the handle of the stream.
    #[inline]
    pub fn handle(&self) -> T {
        T::from_id(self.held.id())
    }

    /// Calls `f` with the state, unless the stream is gone; `f` must not call a listener, session or filter.
    #[inline(always)]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut StreamEntry<T>, Id) -> R) -> Option<R> {
        let id = self.held.id();
        self.held.with(|entry| f(entry, id))
    }

    /// Returns the flags; empty if the stream is gone.
    #[inline]
    pub(super) fn flags(&self) -> StreamFlags {
        self.held.with(|entry| entry.flags).unwrap_or_default()
    }

    /// Takes the stream out of its slot, which is reused after the iteration.
    pub(super) fn remove(&self) -> Option<StreamEntry<T>> {
        let id: Id = self.held.id();
        let removed = T::streams(|all| all.remove(id));
        if removed != Some(true) {
            return None;
        }
        let entry = self.held.take()?;
        driver::reap_later(id.token(entry.driver));
        Some(entry)
    }
}

impl<T: Transport> Emitter for Visit<T> {
    type Events = T;

    #[inline]
    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Bytes>) -> R) -> Option<R> {
        self.held.with(|entry| f(&mut entry.listeners))
    }
}

impl<T: Transport> Debug for Visit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visit").field(&self.handle()).finish()
    }
}

/// Holds the stream of a handle.
#[inline]
pub(super) fn hold<T: Transport>(stream: T) -> Option<Visit<T>> {
    T::streams(|all| all.get(stream.to_id())).flatten()
}

/// Calls `f` with the state of a handle's stream; `f` must not call a listener, session or filter.
#[inline]
pub(super) fn with_entry<T: Transport, R>(
    stream: T,
    f: impl FnOnce(&mut StreamEntry<T>, Id) -> R,
) -> Option<R> {
    T::streams(|all: &StreamTable<T>| all.with_entry(stream.to_id(), f)).flatten()
}

impl<T: Transport> StreamEntry<T> {
    /// Returns the token by which the loop identifies the stream.
    #[inline]
    pub(super) fn token(&self, id: Id) -> Token {
        id.token(self.driver)
    }

    #[inline]
    pub(super) fn is_socket(&self) -> bool {
        self.flags.contains(StreamFlags::SOCKET)
    }

    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        !self.flags.intersects(
            StreamFlags::WRITE_ENDED
                | StreamFlags::ENDING
                | StreamFlags::FAILED
                | StreamFlags::CLOSING,
        )
    }

    /// Returns the number of bytes queued in memory, including bytes that have not passed the filters.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| queue.len());
        match self
            .flags
            .intersects(StreamFlags::FILES | StreamFlags::GATHERED)
        {
            true => queued + self.queued_elsewhere(),
            false => queued,
        }
    }

    #[cold]
    fn queued_elsewhere(&self) -> usize {
        self.queued_after_files() + self.gathered()
    }

    /// Returns the number of bytes that have not passed the filters.
    #[inline]
    pub(super) fn gathered(&self) -> usize {
        if !self.flags.contains(StreamFlags::GATHERED) {
            return 0;
        }
        let gathered = self
            .extended
            .as_ref()
            .and_then(|extended| extended.gathered.as_ref());
        gathered.map_or(0, |gathered| gathered.len())
    }

    /// Returns whether neither bytes nor files are queued.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
            && !self
                .flags
                .intersects(StreamFlags::FILES | StreamFlags::GATHERED)
    }

    /// Returns whether the queue is so full that writers should wait for `drain`.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.flags.contains(StreamFlags::FILES) || self.queued() >= self.soft_limit as usize
    }

    pub(super) fn extended(&mut self) -> &mut ExtendedState {
        self.extended.get_or_insert_default()
    }

    pub(super) fn stall_limit(&self) -> Option<Duration> {
        self.extended
            .as_ref()
            .map_or(Some(STALL_LIMIT), |extended| extended.stall_limit)
    }

    pub(super) fn idle_limit(&self) -> Option<Duration> {
        self.extended
            .as_ref()
            .and_then(|extended| extended.idle_limit)
    }

    pub(super) fn linger(&self) -> Duration {
        self.extended
            .as_ref()
            .map_or(LINGER, |extended| extended.linger)
    }

    /// Returns the system call for reading the descriptor.
    #[inline]
    pub(super) fn read_method(&self) -> ReadMethod {
        if !self.is_socket() {
            ReadMethod::Other
        } else if self.flags.contains(StreamFlags::UNIX) {
            ReadMethod::UnixSocket
        } else {
            ReadMethod::Socket
        }
    }

    /// Records activity if a limit depends on it.
    #[inline]
    pub(super) fn touch(&mut self) {
        if self.flags.contains(StreamFlags::TIMED) {
            self.active = Timestamp::now();
        }
    }

    /// Returns whether bytes or an end that passed the filters must still be delivered.
    pub(super) fn has_undelivered(&self) -> bool {
        self.extended
            .as_ref()
            .is_some_and(|extended| !extended.undelivered.is_empty() || extended.undelivered_end)
    }

    /// Returns whether writes or ends are postponed until the filters have run.
    pub(super) fn has_postponed(&self) -> bool {
        self.extended
            .as_ref()
            .is_some_and(|extended| !extended.postponed.is_empty())
    }

    /// Returns whether data can be delivered now.
    #[inline]
    pub(super) fn accepts_data(&self) -> bool {
        !self
            .flags
            .intersects(StreamFlags::PAUSED | StreamFlags::CLOSING)
            && (self.session.is_some()
                || self.flags.contains(StreamFlags::FLOWING)
                || self.listeners.has(T::DATA.slot()))
    }

    /// Schedules a read in the next iteration, if there is something to read or to deliver.
    pub(super) fn schedule_read(&mut self, id: Id) {
        let flags = self.flags;
        if flags.contains(StreamFlags::STARTED)
            && !flags.contains(StreamFlags::READ_QUEUED)
            && (flags.contains(StreamFlags::READ_READY) || self.has_undelivered())
        {
            self.flags.insert(StreamFlags::READ_QUEUED);
            driver::ready_later(self.token(id), Readiness::empty());
        }
    }

    /// Schedules a flush at the end of the visit or of the iteration.
    #[inline]
    pub(super) fn schedule_flush(&mut self, id: Id) {
        if !self.flags.contains(StreamFlags::FLUSH_QUEUED) {
            self.flags.insert(StreamFlags::FLUSH_QUEUED);
            driver::flush_later(self.token(id));
        }
    }

    /// Fails the stream at the end of the iteration, as no event may be emitted during a call of the user.
    pub(super) fn fail_later(&mut self, id: Id, error: Error) {
        self.extended().failure.get_or_insert(error);
        self.flags.insert(StreamFlags::FAILED);
        self.schedule_flush(id);
    }
}

impl<T: Transport> Debug for StreamEntry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEntry")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}
