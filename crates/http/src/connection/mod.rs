//! One HTTP connection: its requests one after the other, each answered before the next is looked at.
//!
//! Cost of a request that came whole and is answered at once: the entry is looked up four times, the head is a slice of
//! the read buffer, the answer is written straight into the connection's queue. No allocation, no clock, one write for
//! all that came in one read. Whatever takes longer gets an [`Exchange`], which is an allocation.
//!
//! ```text
//! head ─→ handler ─→ answer ─→ rest of the body is drained ─→ next head
//!           │                   (64 KiB at most, else close)
//!           └─ body: pulled by its reader, or pushed to `data` listeners; never more than a read is taken ahead
//! ```

mod date;
mod deadlines;
mod departure;
mod exchange;
mod files;
mod flags;
mod incoming;
mod outgoing;
mod owned_headers;
mod shutdown;
mod steps;
mod upgrading;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use crate::h1::Decoder;
use crate::server::Service;
use exchange::Exchange;
use flags::Flags;

pub(crate) use exchange::{Incoming, Outgoing, hold, is_unanswered};
pub(crate) use incoming::{body_left, body_limit, pause_body, poll_body, resume_body, trailers};
pub(crate) use outgoing::{end, poll_writable, respond, start, write};
pub(crate) use shutdown::{cut, drain};

/// What is kept for each connection.
pub(crate) struct Entry {
    conn: Connection,
    service: Rc<Service>,
    decoder: Decoder,
    /// What the exchange under way has beyond a head and an answer.
    exchange: Option<Box<Exchange>>,
    deadline: LazyDeadline,
    /// Since when what is waited for now.
    since: Timestamp,
    /// When reading was paused, while it is.
    paused: Timestamp,
    /// Numbers the exchanges of the connection, so that handles of those before are stale.
    number: u32,
    /// Bytes of the body that came in this window of time, or were thrown away behind the answer.
    counted: u32,
    /// The low half of what the client had acknowledged when the idle timeout was last over.
    acknowledged: u32,
    flags: Flags,
}

/// Names an exchange: what requests and responders hold. Stale when the exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    key: Id,
    number: u32,
}

#[cfg(test)]
impl At {
    /// The exchange of no connection.
    pub(crate) fn nowhere() -> Self {
        let key = Table::new().insert(()).unwrap();
        At { key, number: 0 }
    }
}

thread_local! {
    static CONNECTIONS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
    static DRIVER: OnceCell<DriverId> = const { OnceCell::new() };
}

#[inline]
fn with_entry<R>(key: Id, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    CONNECTIONS
        .try_with(|all| all.borrow_mut().get_mut(key).map(f))
        .ok()
        .flatten()
}

/// [`with_entry`], unless the exchange is over.
#[inline]
fn with_current<R>(at: At, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    with_entry(at.key, |entry| {
        let current = entry.number == at.number && entry.flags.contains(Flags::ACTIVE);
        current.then(|| f(entry))
    })
    .flatten()
}

/// [`with_current`], unless the connection is closing.
#[inline]
fn with_exchange<R>(at: At, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    with_current(at, |entry| {
        (!entry.flags.contains(Flags::CLOSING)).then(|| f(entry))
    })
    .flatten()
}

fn token(key: Id) -> Option<Token> {
    DRIVER
        .try_with(|driver| key.token(*driver.get_or_init(|| driver::register(&HttpDriver))))
        .ok()
}

/// Serves HTTP on a connection.
pub(crate) fn serve(conn: Connection, service: &Rc<Service>) {
    let mut flags = Flags::FRESH;
    // Accepted before the shutdown, and here only now: its handshake took until then.
    flags.set(Flags::DRAINING, service.is_draining());
    let entry = Entry {
        conn,
        service: Rc::clone(service),
        decoder: Decoder::new(),
        exchange: None,
        deadline: LazyDeadline::default(),
        since: Timestamp::now(),
        paused: Timestamp::default(),
        number: 0,
        counted: 0,
        acknowledged: 0,
        flags,
    };
    let key = CONNECTIONS
        .try_with(|all| all.borrow_mut().insert(entry))
        .ok()
        .flatten();
    let Some(key) = key else { return conn.close() };
    service.opened();
    conn.set_allow_half_open(true);
    service.limit_connection(conn);
    conn.set_session(Rc::new(Http { key }));
    deadlines::arm(key);
}

/// Has a connection go on, in the next iteration.
fn advance_later(key: Id) {
    if let Some(token) = token(key) {
        driver::ready_later(token, Readiness::NONE);
    }
}

/// Serves HTTP on a connection, which owns it.
struct Http {
    key: Id,
}

impl Session<Connection> for Http {
    #[inline]
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        steps::received(self.key, bytes.split().freeze());
    }

    fn end(&self, _: &Visit<Connection>) {
        with_entry(self.key, |entry| {
            entry.flags.insert(Flags::PEER_ENDED | Flags::HALF_OPEN);
        });
        steps::advance(self.key);
    }

    fn end_pending(&self, _: &Visit<Connection>) {
        let key = self.key;
        with_entry(key, |entry| {
            entry.flags.insert(Flags::HALF_OPEN);
            entry.arm(key);
        });
    }

    fn drain(&self, _: &Visit<Connection>) {
        let key = self.key;
        let waker = with_entry(key, |entry| {
            entry.flags.remove(Flags::FULL);
            entry.exchange.as_mut()?.writer.take()
        });
        if let Some(waker) = waker.flatten() {
            waker.wake();
        }
        exchange::drained(key);
        steps::advance(key);
    }

    fn error(&self, stream: &Visit<Connection>, error: &uptick_socket::Error) {
        // Clients come and go, as a rule.
        tracing::debug!(
            connection = stream.handle().id(),
            "an HTTP connection failed: {error}"
        );
    }

    fn close(&self, _: &Visit<Connection>) {
        exchange::abandon(self.key);
        let entry = CONNECTIONS
            .try_with(|all| all.borrow_mut().remove(self.key))
            .ok()
            .flatten();
        if let Some(entry) = entry {
            let service = Rc::clone(&entry.service);
            drop(entry);
            service.closed();
        }
    }
}

/// Drives deadlines, and connections that go on later.
struct HttpDriver;

impl Driver for HttpDriver {
    fn ready(&self, token: Token, _readiness: Readiness) {
        if let Some(key) = find(token) {
            steps::advance(key);
        }
    }

    fn expired(&self, token: Token) {
        if let Some(key) = find(token) {
            deadlines::expired(key);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        tracing::error!("a callback of an HTTP connection panicked: {message}");
        let conn = find(token).and_then(|key| with_entry(key, |entry| entry.conn));
        if let Some(conn) = conn {
            conn.close();
        }
    }
}

fn find(token: Token) -> Option<Id> {
    CONNECTIONS
        .try_with(|all| all.borrow().find(token))
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_an_idle_connection_stays_small() {
        assert!(size_of::<Entry>() <= 144, "{} bytes", size_of::<Entry>());
    }
}
