//! The store of user timers: which are pending, which is next, which are due.
//!
//! Times are nanoseconds on the loop's clock, which the caller reads. Timers come out by deadline,
//! and in the order in which they were armed where deadlines are equal.

mod ladder;
#[cfg(test)]
mod tests;

use crate::table::{Id, Table};
use ladder::{Entry, Ladder};

/// Entries of cancelled timers that may stay in the queue beyond one for each armed timer.
const SPARE: usize = 64;

/// Pending timers, each with a value (the callback, and what else the loop needs to run it).
///
/// # Limits
/// As many timers as the table has slots. A cancelled timer's value is dropped at once; its 24
/// bytes in the queue at the latest when more than half of the queue is cancelled.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    /// `None` while a timer runs.
    table: Table<Option<T>>,
    queue: Ladder,
    /// Due entries that the current pass must leave to the next one.
    aside: Vec<Entry>,
    armed: usize,
    next_seq: u64,
}

/// A point in the sequence of armings; see [`Timers::cut`].
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

    /// How many timers there are, armed or running.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Arms a new timer; `None` when the table is full.
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> Option<Id> {
        let id = self.table.insert(Some(value))?;
        self.push(deadline, id);
        self.armed += 1;
        Some(id)
    }

    /// Whether the timer is armed or running.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.table.get(id).is_some()
    }

    /// Cancels a timer and returns its value, unless the timer is unknown, has fired or is running.
    ///
    /// A running timer is forgotten all the same: [`rearm`](Self::rearm) will not take it back.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let value = self.table.remove(id)??;
        self.armed -= 1;
        self.drop_cancelled();
        Some(value)
    }

    /// Forgets a running timer, and returns whether it was still known.
    pub(crate) fn forget(&mut self, id: Id) -> bool {
        self.table.remove(id).is_some()
    }

    /// The deadline of the timer that comes first.
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

    /// The end of what has been armed so far: a pass over the due timers that takes its cut before
    /// the first callback runs none that a callback arms.
    pub(crate) fn cut(&self) -> Seq {
        Seq(self.next_seq)
    }

    /// Takes out the first timer due at `now` that was armed before the cut.
    ///
    /// Where `keep` holds (the timer is periodic), the timer is running from now on: its id stays
    /// valid until [`rearm`](Self::rearm) or [`remove`](Self::remove). Otherwise it is gone.
    pub(crate) fn pop_due(
        &mut self,
        now: u64,
        before: Seq,
        keep: impl FnOnce(&T) -> bool,
    ) -> Option<(Id, T)> {
        // Left by a pass that was not carried to its end.
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

    /// Arms a running timer again, under the same id, behind all timers armed before with the same
    /// deadline.
    ///
    /// # Errors
    /// The value comes back if the timer was cancelled while it ran.
    pub(crate) fn rearm(&mut self, id: Id, deadline: u64, value: T) -> Result<(), T> {
        let Some(place @ None) = self.table.get_mut(id) else {
            return Err(value);
        };
        *place = Some(value);
        self.push(deadline, id);
        self.armed += 1;
        Ok(())
    }

    fn push(&mut self, deadline: u64, id: Id) {
        self.queue.push(Entry {
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

    /// Makes sure that the queue's first entry is live and that few of the others are not.
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
