//! Limits of time. A WebSocket has one deadline in the loop's wheel, and activity does not move it: when it comes, it is
//! armed again for what is left.

use std::cell::OnceCell;
use std::time::Duration;

use uptick_emitter::emit;
use uptick_event_loop::driver::{self, Driver, Timestamp};
use uptick_event_loop::{DriverId, Id, Readiness, Token, future_tick};
use uptick_stream::transport;

use super::entry::{Entry, Flags, with_entry, with_sockets};
use super::{WebSocket, receiving, sending};
use crate::{CloseCode, Error};

/// How long before the end of the idle timeout a silent peer is sent a ping: 16 s.
const MARGIN: Duration = Duration::from_secs(16);

thread_local! {
    static DRIVER: OnceCell<DriverId> = const { OnceCell::new() };
}

fn token(key: Id) -> Option<Token> {
    DRIVER
        .try_with(|driver| key.token(*driver.get_or_init(|| driver::register(&SocketDriver))))
        .ok()
}

/// Has what waits handed on, in the next iteration.
pub(super) fn go_on_later(key: Id) {
    if let Some(token) = token(key) {
        driver::ready_later(token, Readiness::NONE);
    }
}

/// Drives deadlines, and WebSockets that go on later.
struct SocketDriver;

impl Driver for SocketDriver {
    fn ready(&self, token: Token, _readiness: Readiness) {
        if let Some(key) = find(token) {
            receiving::go_on_now(key);
        }
    }

    fn expired(&self, token: Token) {
        if let Some(key) = find(token) {
            expired(key);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        let conn = find(token).and_then(|key| with_entry(key, |entry| entry.conn));
        match conn {
            // As where a callback panics for what was just read.
            Some(conn) => transport::panicked(conn, message),
            None => {
                tracing::error!("a callback panicked after its WebSocket had closed: {message}")
            }
        }
    }
}

fn find(token: Token) -> Option<Id> {
    with_sockets(|all| all.find(token)).flatten()
}

impl Entry {
    /// When something is to be done, if nothing comes.
    fn due(&self) -> Option<Timestamp> {
        let options = &self.route.options;
        if self.flags.intersects(Flags::CLOSING) {
            return Some(self.seen.after(options.close_timeout));
        }
        let pings = options.pings && !self.flags.intersects(Flags::PINGED);
        let silence = options.idle_timeout.map(|idle| {
            self.seen.after(if pings {
                idle.saturating_sub(MARGIN.min(idle / 4))
            } else {
                idle
            })
        });
        match (silence, self.until()) {
            (Some(silence), Some(until)) if silence.is_before(until) => Some(silence),
            (silence, until) => until.or(silence),
        }
    }

    /// When it has lived for as long as it may.
    fn until(&self) -> Option<Timestamp> {
        self.rare.as_ref()?.until
    }

    /// The action for a limit of silence that has passed.
    ///
    /// A peer that has acknowledged bytes since the last look is not silent, but for those of a ping that found nothing before
    /// it. A ping is not sent if it would wait behind other bytes: their acknowledgement tests the peer as well.
    fn silent(&mut self) -> Option<Over> {
        let acknowledged = self.conn.acknowledged();
        let takes = acknowledged > self.acknowledged;
        let waits = self.conn.is_sending() || acknowledged < self.conn.bytes_written();
        let last = self.flags.intersects(Flags::PINGED) || !self.route.options.pings;
        self.acknowledged = acknowledged;
        if takes && (waits || last) {
            self.seen = Timestamp::now();
            self.flags.remove(Flags::PINGED);
            return None;
        }
        if last {
            return Some(Over::Silent);
        }
        self.flags.insert(Flags::PINGED);
        (!waits).then_some(Over::Ping)
    }

    fn arm(&mut self, key: Id) {
        let Some(due) = self.due() else { return };
        if self.deadline.is_some() {
            if !due.is_before(self.armed) {
                return;
            }
            if let Some(deadline) = self.deadline.take() {
                driver::disarm_deadline(deadline);
            }
        }
        self.armed = due;
        let at = driver::elapsed().saturating_add(due.left());
        self.deadline = token(key).and_then(|token| driver::arm_deadline(token, at));
    }
}

pub(super) fn arm(key: Id) {
    with_entry(key, |entry| entry.arm(key));
}

/// What is to be done about a limit that is over.
enum Over {
    /// The peer is sent a ping.
    Ping,
    /// Nothing came, and it takes nothing.
    Silent,
    /// It has not answered a close.
    Close,
    /// It has lived for as long as it may.
    Lifetime,
}

fn expired(key: Id) {
    let over = with_entry(key, |entry| {
        entry.deadline = None;
        if entry.flags.intersects(Flags::PAUSED) {
            // Nobody listens to it.
            entry.seen = Timestamp::now();
        }
        if entry.flags.intersects(Flags::CLOSING) && entry.conn.is_sending() {
            // The close has not reached the peer yet; one that takes nothing is the connection's to end.
            entry.seen = Timestamp::now();
        }
        let due = entry.due()?;
        let over = if !due.has_come(entry.seen) {
            None
        } else if entry.flags.intersects(Flags::CLOSING) {
            Some(Over::Close)
        } else if entry.until() == Some(due) {
            Some(Over::Lifetime)
        } else {
            entry.silent()
        };
        if matches!(over, None | Some(Over::Ping)) {
            entry.arm(key);
        }
        over
    });
    let ws = WebSocket::from_id(key);
    match over.flatten() {
        Some(Over::Ping) => {
            let _ = sending::ping(key, b"");
            // The peer's kernel acknowledges the ping, which says nothing of the peer: only what follows does.
            future_tick(move || {
                with_entry(key, |entry| entry.acknowledged = entry.conn.bytes_written());
            });
        }
        Some(Over::Silent) => {
            emit(&ws, WebSocket::ERROR, Error::Silent);
            ws.terminate();
        }
        Some(Over::Close) => ws.terminate(),
        Some(Over::Lifetime) => {
            ws.close(CloseCode::GOING_AWAY, "it has lived for as long as it may")
        }
        None => {}
    }
}
