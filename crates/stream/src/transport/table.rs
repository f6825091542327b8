//! The table of the streams of one kind.

use std::cell::Cell;
use std::fmt::Debug;
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Bytes;
use uptick_emitter::Listeners;
use uptick_event_loop::driver;
use uptick_event_loop::{DriverId, Id, SharedTable, Token};

use super::Transport;
use super::stream::{StreamEntry, StreamSlot, Visit};

/// The streams of one kind on one thread.
pub struct StreamTable<T: Transport> {
    table: SharedTable<StreamSlot<T>>,
    driver: Cell<Option<DriverId>>,
}

impl<T: Transport> StreamTable<T> {
    /// Creates an empty table.
    pub const fn new() -> Self {
        StreamTable {
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

    /// Returns whether the stream of a handle is open.
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
        self.with_entry(stream.to_id(), |entry, _| f(&mut entry.listeners))
    }

    /// Calls `f` with the value kept with a stream.
    #[inline]
    pub fn with_attachment<R>(
        &self,
        stream: T,
        f: impl FnOnce(&mut T::Attachment) -> R,
    ) -> Option<R> {
        self.with_entry(stream.to_id(), |entry, _| f(&mut entry.extra))
    }

    /// Calls `f` with the descriptor of a stream.
    pub fn with_descriptor<R>(&self, stream: T, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.with_entry(stream.to_id(), |entry, _| f(entry.fd.as_fd()))
    }

    #[inline]
    pub(super) fn with_entry<R>(
        &self,
        id: Id,
        f: impl FnOnce(&mut StreamEntry<T>, Id) -> R,
    ) -> Option<R> {
        let found = self
            .table
            .with(id, |stream| stream.with(|entry| f(entry, id)));
        found.flatten()
    }

    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<Visit<T>> {
        self.table.get(id).map(Visit::new)
    }

    #[inline]
    pub(super) fn find(&self, token: Token) -> Option<Visit<T>> {
        self.table.find(token).map(Visit::new)
    }

    pub(super) fn insert(&self, entry: StreamEntry<T>) -> Option<Visit<T>> {
        let held = self.table.insert()?;
        held.fill(entry);
        Some(Visit::new(held))
    }

    pub(super) fn remove(&self, id: Id) -> bool {
        self.table.remove(id)
    }

    pub(super) fn free_slot(&self, token: Token) {
        self.table.free_slot(token);
    }

    /// Returns the driver of the streams, which is registered with the thread's loop on first use.
    pub(super) fn driver(&self) -> DriverId {
        if let Some(driver) = self.driver.get() {
            return driver;
        }
        let driver = driver::register(T::DRIVER);
        self.driver.set(Some(driver));
        driver
    }
}

impl<T: Transport> Default for StreamTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Debug for StreamTable<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamTable")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
