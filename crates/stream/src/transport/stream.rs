//! The state of a stream, and how it is reached: by its handle, or through a visit that holds it.

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
use uptick_event_loop::{DriverId, Held, Id, Readiness, Token, driver};

use super::files::QueuedFiles;
use super::flags::Flags;
use super::jobs::Jobs;
use super::options::{LINGER, STALL_LIMIT};
use super::session::Session;
use super::{Streams, Transport};
use crate::error::Error;
use crate::filter::{FilterEvent, Filters};
use crate::read_buffer::ReadMethod;
use crate::write_queue::WriteQueue;

/// The place of a stream in its table; empty when the stream is gone.
pub(super) struct Stream<T: Transport> {
    entry: RefCell<Option<Entry<T>>>,
}

impl<T: Transport> Default for Stream<T> {
    fn default() -> Self {
        Stream {
            entry: RefCell::new(None),
        }
    }
}

/// The state of a stream.
pub(super) struct Entry<T: Transport> {
    pub(super) fd: OwnedFd,
    pub(super) driver: DriverId,
    pub(super) flags: Flags,
    pub(super) soft_limit: u32,
    pub(super) hard_limit: u32,
    pub(super) deadline: LazyDeadline,
    /// The time of the last activity, as far as a limit depends on it.
    pub(super) active: Timestamp,
    /// The time when bytes last went out or were acknowledged while the descriptor was full, or when the stream began to linger.
    pub(super) progress: Timestamp,
    pub(super) listeners: Listeners<Bytes>,
    /// Serves the stream in place of the listeners.
    pub(super) session: Option<Rc<dyn Session<T>>>,
    /// Bytes that are not sent yet; `None` while there are none.
    pub(super) queue: Option<Box<WriteQueue>>,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) extra: T::Extra,
}

/// The state that most streams never have.
pub(super) struct Rare {
    pub(super) filters: Filters,
    /// Bytes that came through the filters while reading was paused, and whether the end follows them.
    pub(super) held: VecDeque<Bytes>,
    pub(super) held_end: bool,
    /// Writes and ends that wait for the filters, which are running.
    pub(super) postponed: VecDeque<FilterEvent>,
    /// Written bytes that have not passed the filters yet.
    pub(super) gathered: Option<Box<WriteQueue>>,
    pub(super) jobs: Option<Box<Jobs>>,
    /// Files behind the queue.
    pub(super) files: QueuedFiles,
    /// The cause of a failure inside a callback.
    pub(super) failure: Option<Error>,
    /// The waker of a task that waits until everything is sent and this side has ended.
    pub(super) shut: Option<Waker>,
    pub(super) idle_limit: Option<Duration>,
    pub(super) stall_limit: Option<Duration>,
    pub(super) linger: Duration,
    /// The time when the kernel was last asked what the peer has acknowledged, and what that was.
    pub(super) looked: Option<Timestamp>,
    pub(super) acknowledged: u64,
    /// Whether the kernel had bytes then that the peer had no room for.
    pub(super) waited: bool,
    pub(super) extension: Option<Rc<dyn Any>>,
}

impl Default for Rare {
    fn default() -> Self {
        Rare {
            filters: Filters::default(),
            held: VecDeque::new(),
            held_end: false,
            postponed: VecDeque::new(),
            gathered: None,
            jobs: None,
            files: QueuedFiles::new(),
            failure: None,
            shut: None,
            idle_limit: None,
            stall_limit: Some(STALL_LIMIT),
            linger: LINGER,
            looked: None,
            acknowledged: 0,
            waited: false,
            extension: None,
        }
    }
}

impl Rare {
    /// Returns whether a file goes out next, so that the kernel may send what is before it along with it.
    pub(super) fn file_is_next(&self) -> bool {
        self.files.front().is_some_and(|file| !file.is_empty())
    }
}

impl<T: Transport> Stream<T> {
    pub(super) fn fill(&self, entry: Entry<T>) {
        self.entry.replace(Some(entry));
    }

    pub(super) fn take(&self) -> Option<Entry<T>> {
        self.entry.take()
    }

    /// Calls `f` with the state; `f` calls no listener, session or filter.
    #[inline]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Entry<T>) -> R) -> Option<R> {
        self.entry.borrow_mut().as_mut().map(f)
    }
}

/// A stream that is held while its callbacks run. It stays in its place meanwhile, also when it closes.
pub struct Visit<T: Transport> {
    held: Held<Stream<T>>,
}

impl<T: Transport> Visit<T> {
    #[inline]
    pub(super) fn new(held: Held<Stream<T>>) -> Self {
        Visit { held }
    }

    /// The handle of the stream.
    #[inline]
    pub fn handle(&self) -> T {
        T::from_id(self.held.id())
    }

    /// Calls `f` with the state, unless the stream is gone; `f` calls no listener, session or filter.
    #[inline(always)]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Entry<T>, Id) -> R) -> Option<R> {
        let id = self.held.id();
        self.held.with(|entry| f(entry, id))
    }

    /// The flags; none are set when the stream is gone.
    #[inline]
    pub(super) fn flags(&self) -> Flags {
        self.held.with(|entry| entry.flags).unwrap_or_default()
    }

    /// Takes the stream out of its place, which is used again after the iteration.
    pub(super) fn remove(&self) -> Option<Entry<T>> {
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

/// Calls `f` with the state of a handle's stream; `f` calls no listener, session or filter.
#[inline]
pub(super) fn with_entry<T: Transport, R>(
    stream: T,
    f: impl FnOnce(&mut Entry<T>, Id) -> R,
) -> Option<R> {
    T::streams(|all: &Streams<T>| all.look(stream.to_id(), f)).flatten()
}

impl<T: Transport> Entry<T> {
    /// The token under which the loop knows the stream.
    #[inline]
    pub(super) fn token(&self, id: Id) -> Token {
        id.token(self.driver)
    }

    #[inline]
    pub(super) fn is_socket(&self) -> bool {
        self.flags.contains(Flags::SOCKET)
    }

    #[inline]
    pub(super) fn is_writable(&self) -> bool {
        !self
            .flags
            .intersects(Flags::WRITE_OVER | Flags::ENDING | Flags::FAILED | Flags::CLOSING)
    }

    /// The number of bytes that wait in memory, those included that have not passed the filters.
    #[inline]
    pub(super) fn queued(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, |queue| queue.len());
        match self.flags.intersects(Flags::FILES | Flags::GATHERED) {
            true => queued + self.queued_elsewhere(),
            false => queued,
        }
    }

    #[cold]
    fn queued_elsewhere(&self) -> usize {
        self.queued_behind_files() + self.gathered()
    }

    /// The number of bytes that have not passed the filters.
    #[inline]
    pub(super) fn gathered(&self) -> usize {
        if !self.flags.contains(Flags::GATHERED) {
            return 0;
        }
        let gathered = self.rare.as_ref().and_then(|rare| rare.gathered.as_ref());
        gathered.map_or(0, |gathered| gathered.len())
    }

    /// Returns whether nothing waits to be sent, neither bytes nor files.
    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.is_empty())
            && !self.flags.intersects(Flags::FILES | Flags::GATHERED)
    }

    /// Returns whether so much waits that writers should wait for `drain`.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.flags.contains(Flags::FILES) || self.queued() >= self.soft_limit as usize
    }

    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(super) fn stall_limit(&self) -> Option<Duration> {
        self.rare
            .as_ref()
            .map_or(Some(STALL_LIMIT), |rare| rare.stall_limit)
    }

    pub(super) fn idle_limit(&self) -> Option<Duration> {
        self.rare.as_ref().and_then(|rare| rare.idle_limit)
    }

    pub(super) fn linger(&self) -> Duration {
        self.rare.as_ref().map_or(LINGER, |rare| rare.linger)
    }

    /// How the descriptor is read.
    #[inline]
    pub(super) fn read_method(&self) -> ReadMethod {
        if !self.is_socket() {
            ReadMethod::Other
        } else if self.flags.contains(Flags::UNIX) {
            ReadMethod::UnixSocket
        } else {
            ReadMethod::Socket
        }
    }

    /// Notes activity, where a limit depends on it.
    #[inline]
    pub(super) fn touch(&mut self) {
        if self.flags.contains(Flags::TIMED) {
            self.active = Timestamp::now();
        }
    }

    /// Returns whether bytes or an end that came through the filters wait to be delivered.
    pub(super) fn holds(&self) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| !rare.held.is_empty() || rare.held_end)
    }

    /// Returns whether writes and ends wait for the filters.
    pub(super) fn is_postponing(&self) -> bool {
        self.rare
            .as_ref()
            .is_some_and(|rare| !rare.postponed.is_empty())
    }

    /// Returns whether data is delivered now.
    #[inline]
    pub(super) fn wants_data(&self) -> bool {
        !self.flags.intersects(Flags::PAUSED | Flags::CLOSING)
            && (self.session.is_some()
                || self.flags.contains(Flags::FLOWING)
                || self.listeners.has(T::DATA.slot()))
    }

    /// Reads the stream in the next iteration, if there is something to read or to deliver.
    pub(super) fn schedule_read(&mut self, id: Id) {
        let flags = self.flags;
        if flags.contains(Flags::STARTED)
            && !flags.contains(Flags::READ_QUEUED)
            && (flags.contains(Flags::READ_READY) || self.holds())
        {
            self.flags.insert(Flags::READ_QUEUED);
            driver::ready_later(self.token(id), Readiness::empty());
        }
    }

    /// Flushes the stream at the end of the visit or of the iteration.
    #[inline]
    pub(super) fn schedule_flush(&mut self, id: Id) {
        if !self.flags.contains(Flags::FLUSH_QUEUED) {
            self.flags.insert(Flags::FLUSH_QUEUED);
            driver::flush_later(self.token(id));
        }
    }

    /// Fails the stream when the iteration ends: nothing is emitted while a user's call is under way.
    pub(super) fn fail_later(&mut self, id: Id, error: Error) {
        self.rare().failure.get_or_insert(error);
        self.flags.insert(Flags::FAILED);
        self.schedule_flush(id);
    }
}

impl<T: Transport> Debug for Entry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}
