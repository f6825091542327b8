//! Connections that wait for something before they are announced, with a limit in time and in number.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::{Timer, driver};

use crate::connection::Connection;
use crate::error::Error;

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
}

/// The connections of a server that wait, in the order in which they began, and their limits.
pub struct Pending<T> {
    waiting: BTreeMap<u64, Item<T>>,
    next: u64,
    limit: Option<Duration>,
    max: usize,
    /// For the one that has waited longest.
    timer: Option<Timer>,
}

struct Item<T> {
    conn: Connection,
    /// On the loop's clock.
    began: Duration,
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

    /// When the time of the one that has waited longest is over.
    fn deadline(&self) -> Option<Duration> {
        let (_, oldest) = self.waiting.first_key_value()?;
        oldest.began.checked_add(self.limit?)
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

/// Has the timer fire for the connection that has waited longest; without any there is no timer.
fn arm<S: Waits>(server: S) {
    server.with_pending(|pending| match (pending.deadline(), pending.timer) {
        (Some(deadline), None) => {
            let left = deadline.saturating_sub(driver::time_of_call());
            pending.timer = Some(driver::add_timeout(left, move || expire(server)));
        }
        (None, Some(timer)) => {
            timer.cancel();
            pending.timer = None;
        }
        _ => {}
    });
}

/// The time of the connection that has waited longest may be over.
fn expire<S: Waits>(server: S) {
    let limit = server.with_pending(|pending| {
        pending.timer = None;
        pending.limit
    });
    let now = driver::handled_until();
    let is_over =
        |pending: &Pending<S::Item>| pending.deadline().is_some_and(|deadline| deadline <= now);
    while let Some(late) = oldest(server, is_over) {
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
