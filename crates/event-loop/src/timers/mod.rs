//! The store of user timers.
//!
//! Times are nanoseconds on the loop's clock, which the caller reads. Timers fire by deadline,
//! and timers with equal deadlines in the order in which they were armed.

mod ladder;
#[cfg(test)]
mod tests;

use crate::table::{Id, Table};
use ladder::{Ladder, QueuedTimer};

/// Number of entries of cancelled timers that may stay in the queue, in addition to one for each armed timer.
const SPARE: usize = 64;

/// Pending timers, each with a value (the callback and its data).
///
/// # Limits
/// The number of slots of the table. A cancelled timer's value is dropped at once, and its 24
/// bytes in the queue at the latest when more than half of the queue is cancelled.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// The values by id; `None` while the timer runs.
    table: Table<Option<T>>,
    queue: Ladder,
    /// Due timers that were armed during the current pass and wait for the next one.
    aside: Vec<QueuedTimer>,
    armed: usize,
    next_seq: u64,
}

/// A sequence number of an arming; see [`Timers::cut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seq(u64);

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self::with_queue(Ladder::new())
    }

    fn with_queue(queue: Ladder) -> Self {
        Self {
            table: Table::new(),
            queue,
            aside: Vec::new(),
            armed: 0,
            next_seq: 0,
        }
    }

    /// Returns the number of timers, armed or running.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Arms a new timer. Returns `None` if the table is full.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> Option<Id> {
        let id = self.table.insert(Some(value))?;
        self.push(deadline, id);
        self.armed += 1;
        Some(id)
    }

    /// Returns `true` if the timer is armed or running.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.table.get(id).is_some()
    }

    /// Cancels a timer and returns its value, unless the timer is unknown, has fired or is running.
    ///
    /// A running timer is cancelled too: [`rearm`](Self::rearm) then fails.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let value = self.table.remove(id)??;
        self.armed -= 1;
        self.drop_cancelled();
        Some(value)
    }

    /// Removes a running timer. Returns `false` if it was cancelled.
    pub(crate) fn forget(&mut self, id: Id) -> bool {
        self.table.remove(id).is_some()
    }

    /// Returns the earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let aside = self
            .aside
            .iter()
            .filter(|entry| self.table.get(entry.id).is_some());
        aside
            .chain(self.queue.peek())
            .map(|entry| entry.deadline)
            .min()
    }

    /// Returns the next sequence number. A pass over the due timers takes it before the first callback, so that
    /// the pass runs no timer that a callback arms.
    pub(crate) fn cut(&self) -> Seq {
        Seq(self.next_seq)
    }

    /// Takes the first timer that is due at `now` and was armed before the cut.
    ///
    /// If `keep` returns `true` (the timer is periodic), the timer is now running: its id stays
    /// valid until [`rearm`](Self::rearm) or [`remove`](Self::remove). Otherwise the timer is removed.
    pub(crate) fn pop_due(
        &mut self,
        now: u64,
        before: Seq,
        keep: impl FnOnce(&T) -> bool,
    ) -> Option<(Id, T)> {
        // These were left by a pass that did not run to its end.
        if self.aside.first().is_some_and(|entry| entry.seq < before.0) {
            self.put_back();
        }
        while let Some(&entry) = self.queue.peek().filter(|entry| entry.deadline <= now) {
            self.queue.pop(|entry| self.table.get(entry.id).is_some());
            if entry.seq < before.0 {
                let due = self.take(entry.id, keep);
                self.drop_cancelled();
                return due;
            }
            self.aside.push(entry);
            self.drop_cancelled();
        }
        self.put_back();
        None
    }

    /// Arms a running timer again, under the same id, after all timers that are already armed for the same
    /// deadline.
    ///
    /// # Errors
    /// The value, if the timer was cancelled while it ran.
    pub(crate) fn rearm(&mut self, id: Id, deadline: u64, value: T) -> Result<(), T> {
        let Some(slot @ None) = self.table.get_mut(id) else {
            return Err(value);
        };
        *slot = Some(value);
        self.push(deadline, id);
        self.armed += 1;
        Ok(())
    }

    fn push(&mut self, deadline: u64, id: Id) {
        self.queue.push(QueuedTimer {
            deadline,
            seq: self.next_seq,
            id,
        });
        self.next_seq += 1;
    }

    fn take(&mut self, id: Id, keep: impl FnOnce(&T) -> bool) -> Option<(Id, T)> {
        let value = self.table.get_mut(id)?;
        let value = if keep(value.as_ref()?) {
            value.take()?
        } else {
            self.table.remove(id)??
        };
        self.armed -= 1;
        Some((id, value))
    }

    fn put_back(&mut self) {
        for entry in self.aside.drain(..) {
            self.queue.push(entry);
        }
        self.drop_cancelled();
    }

    /// Ensures that the queue's first entry is armed, and that only a few of the others are cancelled.
    fn drop_cancelled(&mut self) {
        let Self {
            table,
            queue,
            aside,
            armed,
            ..
        } = self;
        if queue.len() + aside.len() > 2 * *armed + SPARE {
            queue.retain(|entry| table.get(entry.id).is_some());
            aside.retain(|entry| table.get(entry.id).is_some());
        }
        while queue
            .peek()
            .is_some_and(|entry| table.get(entry.id).is_none())
        {
            queue.pop(|entry| table.get(entry.id).is_some());
        }
    }
}
