//! Connections that wait for something before they are announced, with a timeout and a maximum number.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::{Timer, driver};

use super::{Decorated, Layer};
use crate::connection::Connection;
use crate::error::Error;

/// Minimum time that a connection has after [`PendingConnection::extend`]: 1 s.
const MIN_EXTENSION: Duration = Duration::from_secs(1);

/// Maximum timeout of waiting connections during a shutdown.
const MAX_LIMIT_IN_SHUTDOWN: Duration = Duration::from_secs(2);

/// A layer whose connections wait for a header or a handshake.
pub trait PendingLayer: Layer {
    /// The value that the layer keeps with a waiting connection.
    type Item: 'static;

    /// Returns the table of waiting connections, which the layer owns.
    fn pending(&mut self) -> &mut PendingConnections<Self::Item>;

    /// Called when a waiting connection has emitted an `error`. The connection closes afterwards.
    fn failed(waiting: PendingConnection<Self>, error: Error);

    /// Called when a connection has waited for `limit`.
    fn timed_out(waiting: PendingConnection<Self>, limit: Duration);

    /// Returns `true` if the connection waits for this program rather than for the peer, so that it does not time out.
    /// Default: never.
    fn is_due(waiting: PendingConnection<Self>) -> bool {
        let _ = waiting;
        false
    }
}

/// The waiting connections of a server, in the order in which they started to wait, and their limits.
pub struct PendingConnections<T> {
    waiting: BTreeMap<u64, PendingEntry<T>>,
    next: u64,
    limit: Option<Duration>,
    max: usize,
    /// The timer for the earliest deadline.
    timer: Option<Timer>,
}

struct PendingEntry<T> {
    conn: Connection,
    /// Start of the wait, on the loop's clock.
    began: Duration,
    /// Earliest time at which the connection may time out.
    grace: Duration,
    /// The listener for the connection's errors.
    listener: ListenerId,
    value: T,
}

impl<T> PendingConnections<T> {
    /// Creates an empty table: each connection may wait for `limit`, and at most `max` of them at a time, at least 1.
    pub fn new(limit: Option<Duration>, max: usize) -> Self {
        PendingConnections {
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

    /// Returns `true` if no connection is waiting.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the maximum number of waiting connections.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Sets the maximum number of waiting connections, at least 1. Default: the number passed to [`new`](PendingConnections::new).
    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Returns the earliest deadline.
    fn deadline(&self) -> Option<Duration> {
        let limit = self.limit?;
        let deadlines = self.waiting.values().map(|item| item.deadline(limit));
        deadlines.min()
    }

    /// Returns the key of a connection whose deadline is not after `now`.
    fn over(&self, now: Duration) -> Option<u64> {
        let limit = self.limit?;
        let mut waiting = self.waiting.iter();
        let over = waiting.find(|(_, item)| item.deadline(limit) <= now);
        over.map(|(&key, _)| key)
    }
}

impl<T> PendingEntry<T> {
    fn deadline(&self, limit: Duration) -> Duration {
        self.began.saturating_add(limit).max(self.grace)
    }
}

/// A handle to a waiting connection. When the connection no longer waits, the methods do nothing.
pub struct PendingConnection<L> {
    server: Decorated<L>,
    key: u64,
    conn: Connection,
}

impl<L> Clone for PendingConnection<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for PendingConnection<L> {}

impl<L: PendingLayer> PendingConnection<L> {
    /// Adds a waiting connection; returns `None` if the server has closed.
    ///
    /// Call [`make_room`](Decorated::make_room) first.
    pub fn begin(server: Decorated<L>, conn: Connection, value: L::Item) -> Option<Self> {
        let key = server.with_pending(|pending| {
            pending.next += 1;
            pending.next
        })?;
        let waiting = PendingConnection { server, key, conn };
        let item = PendingEntry {
            conn,
            began: driver::current_time(),
            grace: Duration::ZERO,
            listener: conn.on(Connection::ERROR, move |error| L::failed(waiting, error)),
            value,
        };
        server.with_pending(|pending| pending.waiting.insert(key, item))?;
        server.arm();
        Some(waiting)
    }

    /// Returns the server that the connection belongs to.
    pub fn server(self) -> Decorated<L> {
        self.server
    }

    /// Returns the connection.
    pub fn conn(self) -> Connection {
        self.conn
    }

    /// Returns the connection's key within the server, which is higher than the keys of connections that started to
    /// wait earlier.
    pub fn key(self) -> u64 {
        self.key
    }

    /// Calls `f` with the value of the connection; returns `None` if the connection no longer waits.
    ///
    /// `f` is called while a table is borrowed: it must not call any server.
    pub fn with<R>(self, f: impl FnOnce(&mut L::Item) -> R) -> Option<R> {
        self.server
            .with_pending(|pending| Some(f(&mut pending.waiting.get_mut(&self.key)?.value)))
            .flatten()
    }

    /// Extends the deadline to at least 1 s from now, because this program was late to do what the connection waited
    /// for.
    pub fn extend(self) {
        let grace = driver::current_time().saturating_add(MIN_EXTENSION);
        self.server.with_pending(|pending| {
            if let Some(item) = pending.waiting.get_mut(&self.key) {
                item.grace = grace;
            }
        });
    }

    /// Ends the wait and returns the value; `None` if the wait has already ended.
    pub fn take(self) -> Option<L::Item> {
        let item = self
            .server
            .with_pending(|pending| pending.waiting.remove(&self.key))
            .flatten()?;
        self.conn.off(item.listener);
        self.server.arm();
        Some(item.value)
    }

    /// Ends the wait and closes the connection.
    pub fn close(self) {
        if self.take().is_some() {
            self.conn.close();
        }
    }
}

impl<L: PendingLayer> Decorated<L> {
    /// Returns the number of waiting connections.
    pub fn pending_connections(self) -> usize {
        self.with_pending(|pending| pending.len()).unwrap_or(0)
    }

    /// Returns the oldest waiting connection and the limit, if the limit is reached: the connection has to be removed
    /// to make room for another one.
    pub fn make_room(self) -> Option<(PendingConnection<L>, usize)> {
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

    /// Returns the waiting connection with a key.
    pub fn waiting(self, key: u64) -> Option<PendingConnection<L>> {
        let conn = self.with_pending(|pending| Some(pending.waiting.get(&key)?.conn));
        conn.flatten().map(|conn| PendingConnection {
            server: self,
            key,
            conn,
        })
    }

    /// Sets the timeout of all waiting connections, current and future; `None` switches it off. Default: the limit
    /// passed to [`PendingConnections::new`].
    pub fn set_limit(self, limit: Option<Duration>) {
        self.with_pending(|pending| {
            pending.limit = limit;
            if let Some(timer) = pending.timer.take() {
                timer.cancel();
            }
        });
        self.arm();
    }

    /// Shortens the timeout of waiting connections to at most 2 s and at most a quarter of the deadline, so that a
    /// silent client does not delay a shutdown until its deadline. For [`Layer::shutting_down`].
    pub fn shorten_limit(self, deadline: Duration) {
        let shorter = MAX_LIMIT_IN_SHUTDOWN.min(deadline / 4);
        if let Some(limit) = self.with_pending(|pending| pending.limit) {
            self.set_limit(Some(limit.unwrap_or(shorter).min(shorter)));
        }
    }

    fn with_pending<R>(self, f: impl FnOnce(&mut PendingConnections<L::Item>) -> R) -> Option<R> {
        self.with(|layer| f(layer.pending()))
    }

    /// Returns the connection that has waited longest, if `condition` is true.
    fn oldest(
        self,
        condition: impl FnOnce(&PendingConnections<L::Item>) -> bool,
    ) -> Option<PendingConnection<L>> {
        self.with_pending(|pending| {
            let (&key, oldest) = pending.waiting.first_key_value()?;
            let conn = oldest.conn;
            condition(pending).then_some(PendingConnection {
                server: self,
                key,
                conn,
            })
        })
        .flatten()
    }

    /// Sets the timer for the earliest deadline, or cancels it if no connection is waiting.
    fn arm(self) {
        self.with_pending(|pending| match pending.timer {
            None => {
                if let Some(deadline) = pending.deadline() {
                    let left = deadline.saturating_sub(driver::current_time());
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

    /// Times out the connections whose deadline has passed.
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
            // The layer may or may not have ended the wait.
            late.take();
        }
        self.arm();
    }
}

impl<T> fmt::Debug for PendingConnections<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConnections")
            .field("len", &self.len())
            .field("limit", &self.limit)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for PendingConnection<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConnection")
            .field("key", &self.key)
            .field("conn", &self.conn)
            .finish_non_exhaustive()
    }
}
