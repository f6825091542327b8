//! Connections that wait for something before they are announced, with a limit in time and in number.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::{Timer, driver};

use super::{Decorated, Layer};
use crate::connection::Connection;
use crate::error::Error;

/// The least time that a connection has from its turn on: 1 s.
const GRACE: Duration = Duration::from_secs(1);

/// The time that a shutdown leaves to connections that wait.
const LONGEST_IN_SHUTDOWN: Duration = Duration::from_secs(2);

/// A layer whose connections wait for something: a header, a handshake.
pub trait Waits: Layer {
    /// The value that is kept with a waiting connection.
    type Item: 'static;

    /// Returns the waiting connections, which the layer owns.
    fn pending(&mut self) -> &mut Pending<Self::Item>;

    /// Called when a waiting connection has got an error; it closes by itself.
    fn failed(waiting: Waiting<Self>, error: Error);

    /// Called when a connection has waited for `limit`.
    fn timed_out(waiting: Waiting<Self>, limit: Duration);

    /// Returns whether a connection waits for this side, so that it does not time out. Default: never.
    fn is_due(waiting: Waiting<Self>) -> bool {
        let _ = waiting;
        false
    }
}

/// The connections of a server that wait, in the order in which they began, and their limits.
pub struct Pending<T> {
    waiting: BTreeMap<u64, Item<T>>,
    next: u64,
    limit: Option<Duration>,
    max: usize,
    /// Fires for the connection whose time is over first.
    timer: Option<Timer>,
}

struct Item<T> {
    conn: Connection,
    /// On the loop's clock.
    began: Duration,
    /// The connection does not time out before.
    grace: Duration,
    /// Of the connection's errors.
    listener: ListenerId,
    kept: T,
}

impl<T> Pending<T> {
    /// Creates an empty table: each connection may wait for `limit`, and `max` of them at a time, at least 1.
    pub fn new(limit: Option<Duration>, max: usize) -> Self {
        Pending {
            waiting: BTreeMap::new(),
            next: 0,
            limit,
            max: max.max(1),
            timer: None,
        }
    }

    /// Returns the number of waiting connections.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the waiting connections.
    pub fn connections(&self) -> Vec<Connection> {
        self.waiting.values().map(|item| item.conn).collect()
    }

    /// Returns whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns how many connections may wait.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Sets how many connections may wait, at least 1. Default: the number given to [`new`](Pending::new).
    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// The time at which the first of them times out.
    fn deadline(&self) -> Option<Duration> {
        let limit = self.limit?;
        let deadlines = self.waiting.values().map(|item| item.deadline(limit));
        deadlines.min()
    }

    /// The number of a connection that has timed out at a time.
    fn over(&self, now: Duration) -> Option<u64> {
        let limit = self.limit?;
        let mut waiting = self.waiting.iter();
        let over = waiting.find(|(_, item)| item.deadline(limit) <= now);
        over.map(|(&key, _)| key)
    }
}

impl<T> Item<T> {
    fn deadline(&self, limit: Duration) -> Duration {
        self.began.saturating_add(limit).max(self.grace)
    }
}

/// A connection that waits. When it no longer does, calls do nothing.
pub struct Waiting<L> {
    server: Decorated<L>,
    key: u64,
    conn: Connection,
}

impl<L> Clone for Waiting<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Waiting<L> {}

impl<L: Waits> Waiting<L> {
    /// Lets a connection wait; returns `None` when the server has closed.
    ///
    /// To be called after [`make_room`](Decorated::make_room).
    pub fn begin(server: Decorated<L>, conn: Connection, kept: L::Item) -> Option<Self> {
        let key = server.with_pending(|pending| {
            pending.next += 1;
            pending.next
        })?;
        let waiting = Waiting { server, key, conn };
        let item = Item {
            conn,
            began: driver::time_of_call(),
            grace: Duration::ZERO,
            listener: conn.on(Connection::ERROR, move |error| L::failed(waiting, error)),
            kept,
        };
        server.with_pending(|pending| pending.waiting.insert(key, item))?;
        server.arm();
        Some(waiting)
    }

    /// Returns the server for which the connection waits.
    pub fn server(self) -> Decorated<L> {
        self.server
    }

    /// Returns the connection.
    pub fn conn(self) -> Connection {
        self.conn
    }

    /// Returns the connection's number within the server, higher than the number of those that began before.
    pub fn key(self) -> u64 {
        self.key
    }

    /// Calls `f` with the value that is kept; returns `None` when the connection no longer waits.
    ///
    /// `f` is called while a table is borrowed: it may not call any server.
    pub fn with<R>(self, f: impl FnOnce(&mut L::Item) -> R) -> Option<R> {
        self.server
            .with_pending(|pending| Some(f(&mut pending.waiting.get_mut(&self.key)?.kept)))
            .flatten()
    }

    /// Gives the peer at least 1 s more, because this side was late to do what the connection waited for.
    pub fn extend(self) {
        let grace = driver::time_of_call().saturating_add(GRACE);
        self.server.with_pending(|pending| {
            if let Some(item) = pending.waiting.get_mut(&self.key) {
                item.grace = grace;
            }
        });
    }

    /// Ends the wait and returns the value that was kept; `None` when the wait has ended before.
    pub fn take(self) -> Option<L::Item> {
        let item = self
            .server
            .with_pending(|pending| pending.waiting.remove(&self.key))
            .flatten()?;
        self.conn.off(item.listener);
        self.server.arm();
        Some(item.kept)
    }

    /// Ends the wait and closes the connection.
    pub fn close(self) {
        if self.take().is_some() {
            self.conn.close();
        }
    }
}

impl<L: Waits> Decorated<L> {
    /// Returns the number of waiting connections.
    pub fn pending_connections(self) -> usize {
        self.with_pending(|pending| pending.len()).unwrap_or(0)
    }

    /// Returns the connection that has to go so that another one can wait, and the limit.
    pub fn make_room(self) -> Option<(Waiting<L>, usize)> {
        let max = self.with_pending(|pending| pending.max)?;
        let oldest = self.oldest(|pending| pending.len() >= max)?;
        Some((oldest, max))
    }

    /// Closes all waiting connections.
    pub fn close_pending(self) {
        while let Some(waiting) = self.oldest(|_| true) {
            waiting.close();
        }
    }

    /// Returns the waiting connection with a number.
    pub fn waiting(self, key: u64) -> Option<Waiting<L>> {
        let conn = self.with_pending(|pending| Some(pending.waiting.get(&key)?.conn));
        conn.flatten().map(|conn| Waiting {
            server: self,
            key,
            conn,
        })
    }

    /// Sets how long connections may wait, also those that do now; `None` is for ever. Default: the limit of
    /// [`Pending::new`].
    pub fn set_limit(self, limit: Option<Duration>) {
        self.with_pending(|pending| {
            pending.limit = limit;
            if let Some(timer) = pending.timer.take() {
                timer.cancel();
            }
        });
        self.arm();
    }

    /// Leaves waiting connections at most 2 s, and a quarter of the deadline: a silent client does not delay a shutdown until its
    /// deadline. For [`Layer::shutting_down`].
    pub fn shorten_limit(self, deadline: Duration) {
        let shorter = LONGEST_IN_SHUTDOWN.min(deadline / 4);
        if let Some(limit) = self.with_pending(|pending| pending.limit) {
            self.set_limit(Some(limit.unwrap_or(shorter).min(shorter)));
        }
    }

    fn with_pending<R>(self, f: impl FnOnce(&mut Pending<L::Item>) -> R) -> Option<R> {
        self.with(|layer| f(layer.pending()))
    }

    /// The connection that has waited longest, on a condition.
    fn oldest(self, condition: impl FnOnce(&Pending<L::Item>) -> bool) -> Option<Waiting<L>> {
        self.with_pending(|pending| {
            let (&key, oldest) = pending.waiting.first_key_value()?;
            let conn = oldest.conn;
            condition(pending).then_some(Waiting {
                server: self,
                key,
                conn,
            })
        })
        .flatten()
    }

    /// Sets the timer for the connection whose time is over first; without any there is no timer.
    fn arm(self) {
        self.with_pending(|pending| match pending.timer {
            None => {
                if let Some(deadline) = pending.deadline() {
                    let left = deadline.saturating_sub(driver::time_of_call());
                    pending.timer = Some(driver::add_timeout(left, move || self.expire()));
                }
            }
            Some(timer) if pending.is_empty() => {
                timer.cancel();
                pending.timer = None;
            }
            Some(_) => {}
        });
    }

    /// Ends the waits whose time is over.
    fn expire(self) {
        let limit = self.with_pending(|pending| {
            pending.timer = None;
            pending.limit
        });
        let now = driver::handled_until();
        while let Some(key) = self.with_pending(|pending| pending.over(now)).flatten() {
            let Some(late) = self.waiting(key) else {
                break;
            };
            if L::is_due(late) {
                late.extend();
                continue;
            }
            L::timed_out(late, limit.flatten().unwrap_or_default());
            // Whatever the layer has made of it.
            late.take();
        }
        self.arm();
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("len", &self.len())
            .field("limit", &self.limit)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for Waiting<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("key", &self.key)
            .field("conn", &self.conn)
            .finish_non_exhaustive()
    }
}
