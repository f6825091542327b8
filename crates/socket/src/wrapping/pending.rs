//! Connections that wait for something before they are announced, with a limit in time and in number.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::{Timer, driver};

use crate::connection::Connection;
use crate::error::Error;

/// The time that a connection has at least once this side has done what it waited for: 1 s.
const GRACE: Duration = Duration::from_secs(1);

/// A wrapper whose connections wait for something: a header, a handshake.
pub trait Waits: Copy + 'static {
    /// What is kept with a connection that waits.
    type Item: 'static;

    /// Calls `f` with the connections that wait, `None` when the server is gone.
    ///
    /// `f` is called inside of the borrow of a table and calls no server.
    fn with_pending<R>(self, f: impl FnOnce(&mut Pending<Self::Item>) -> R) -> Option<R>;

    /// A connection that waits has got an error, and closes by itself.
    fn failed(self, waiting: Waiting<Self>, error: Error);

    /// A connection has waited for `limit`.
    fn timed_out(self, waiting: Waiting<Self>, limit: Duration);

    /// Whether it is this side that a connection waits for. It does not time out then. Default: never.
    fn is_due(self, waiting: Waiting<Self>) -> bool {
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
    /// For the one whose time is over first.
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
    /// Makes an empty table: each connection may wait for `limit`, and `max` of them at a time, at least 1.
    pub fn new(limit: Option<Duration>, max: usize) -> Self {
        Pending {
            waiting: BTreeMap::new(),
            next: 0,
            limit,
            max: max.max(1),
            timer: None,
        }
    }

    /// How many connections wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no connection waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many connections may wait.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Sets how many connections may wait, at least 1. Default: what the table was made with.
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
pub struct Waiting<S> {
    server: S,
    key: u64,
    conn: Connection,
}

impl<S: Copy> Clone for Waiting<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Copy> Copy for Waiting<S> {}

impl<S: Waits> Waiting<S> {
    /// Has a connection wait; `None` when the server is gone.
    ///
    /// To be called after [`make_room`].
    pub fn begin(server: S, conn: Connection, kept: S::Item) -> Option<Self> {
        let key = server.with_pending(|pending| {
            pending.next += 1;
            pending.next
        })?;
        let waiting = Waiting { server, key, conn };
        let item = Item {
            conn,
            began: driver::time_of_call(),
            grace: Duration::ZERO,
            listener: conn.on(Connection::ERROR, move |error| {
                server.failed(waiting, error)
            }),
            kept,
        };
        server.with_pending(|pending| pending.waiting.insert(key, item))?;
        arm(server);
        Some(waiting)
    }

    /// The server for which it waits.
    pub fn server(self) -> S {
        self.server
    }

    /// The connection.
    pub fn conn(self) -> Connection {
        self.conn
    }

    /// Its number among those of the server, higher than that of those that began before.
    pub fn key(self) -> u64 {
        self.key
    }

    /// Calls `f` with what is kept, `None` when the connection no longer waits.
    ///
    /// `f` is called inside of the borrow of a table and calls no server.
    pub fn with<R>(self, f: impl FnOnce(&mut S::Item) -> R) -> Option<R> {
        self.server
            .with_pending(|pending| Some(f(&mut pending.waiting.get_mut(&self.key)?.kept)))
            .flatten()
    }

    /// This side does now what the connection has waited for: the peer has 1 s at least to go on, also where its time is
    /// over, because this side was late.
    pub fn extend(self) {
        let grace = driver::time_of_call().saturating_add(GRACE);
        self.server.with_pending(|pending| {
            if let Some(item) = pending.waiting.get_mut(&self.key) {
                item.grace = grace;
            }
        });
    }

    /// Ends the waiting, and gives what was kept; `None` when it has ended before.
    pub fn take(self) -> Option<S::Item> {
        let item = self
            .server
            .with_pending(|pending| pending.waiting.remove(&self.key))
            .flatten()?;
        self.conn.off(item.listener);
        arm(self.server);
        Some(item.kept)
    }

    /// Ends the waiting and closes the connection.
    pub fn close(self) {
        if self.take().is_some() {
            self.conn.close();
        }
    }
}

/// Gives the connection that has to go so that another one can wait, and the limit.
pub fn make_room<S: Waits>(server: S) -> Option<(Waiting<S>, usize)> {
    let max = server.with_pending(|pending| pending.max)?;
    let oldest = oldest(server, |pending| pending.len() >= max)?;
    Some((oldest, max))
}

/// Closes all connections that wait.
pub fn close_pending<S: Waits>(server: S) {
    while let Some(waiting) = oldest(server, |_| true) {
        waiting.close();
    }
}

/// The connection with a number.
pub fn waiting<S: Waits>(server: S, key: u64) -> Option<Waiting<S>> {
    let conn = server.with_pending(|pending| Some(pending.waiting.get(&key)?.conn));
    conn.flatten().map(|conn| Waiting { server, key, conn })
}

/// Sets how long connections may wait, also those that do now; `None` is for ever. Default: what the table was made with.
pub fn set_limit<S: Waits>(server: S, limit: Option<Duration>) {
    server.with_pending(|pending| {
        pending.limit = limit;
        if let Some(timer) = pending.timer.take() {
            timer.cancel();
        }
    });
    arm(server);
}

/// The connection that has waited longest, on a condition.
fn oldest<S: Waits>(
    server: S,
    condition: impl FnOnce(&Pending<S::Item>) -> bool,
) -> Option<Waiting<S>> {
    server
        .with_pending(|pending| {
            let (&key, oldest) = pending.waiting.first_key_value()?;
            let conn = oldest.conn;
            condition(pending).then_some(Waiting { server, key, conn })
        })
        .flatten()
}

/// Has the timer fire for the connection whose time is over first; without any there is no timer.
fn arm<S: Waits>(server: S) {
    server.with_pending(|pending| match pending.timer {
        None => {
            if let Some(deadline) = pending.deadline() {
                let left = deadline.saturating_sub(driver::time_of_call());
                pending.timer = Some(driver::add_timeout(left, move || expire(server)));
            }
        }
        Some(timer) if pending.is_empty() => {
            timer.cancel();
            pending.timer = None;
        }
        Some(_) => {}
    });
}

/// The time of a connection may be over.
fn expire<S: Waits>(server: S) {
    let limit = server.with_pending(|pending| {
        pending.timer = None;
        pending.limit
    });
    let now = driver::handled_until();
    while let Some(key) = server.with_pending(|pending| pending.over(now)).flatten() {
        let Some(late) = waiting(server, key) else {
            break;
        };
        if server.is_due(late) {
            late.extend();
            continue;
        }
        server.timed_out(late, limit.flatten().unwrap_or_default());
        // Whatever the server has made of it.
        late.take();
    }
    arm(server);
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

impl<S> fmt::Debug for Waiting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("key", &self.key)
            .field("conn", &self.conn)
            .finish_non_exhaustive()
    }
}
