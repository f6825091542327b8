//! A connection of a pool.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;

use super::Pool;
use super::host::Host;
use crate::connect::Protocol;
use crate::error::Failure;
use crate::transport::{Exchange, Http1Session, Http2Session, OutgoingRequest, SessionOwner};

/// A connection, and its session.
pub(super) struct Member {
    pool: Weak<Pool>,
    pub(super) host: Rc<Host>,
    session: RefCell<Option<PooledSession>>,
    created: Timestamp,
    /// The position of the beginning of its idle time in the pool's order.
    idle_since: Cell<u64>,
    idle_until: Cell<Option<Timestamp>>,
    /// Number of streams that were promised but not begun (HTTP/2).
    reserved: Cell<u32>,
    /// `true` once a request was sent.
    is_used: Cell<bool>,
    is_retired: Cell<bool>,
    weak: Weak<Member>,
}

/// The session of a connection.
#[derive(Clone)]
enum PooledSession {
    Http1(Rc<Http1Session>),
    Http2(Rc<Http2Session>),
}

impl Member {
    /// Creates the session of a new connection.
    pub(super) fn new(
        pool: &Rc<Pool>,
        host: Rc<Host>,
        conn: Connection,
        protocol: Protocol,
        max_head: usize,
    ) -> Rc<Member> {
        let member = Rc::new_cyclic(|weak| Member {
            pool: Rc::downgrade(pool),
            host,
            session: RefCell::new(None),
            created: Timestamp::now(),
            idle_since: Cell::new(0),
            idle_until: Cell::new(None),
            reserved: Cell::new(0),
            is_used: Cell::new(false),
            is_retired: Cell::new(false),
            weak: Weak::clone(weak),
        });
        let owner = Rc::<Member>::clone(&member);
        let session = match protocol {
            Protocol::Http1 => PooledSession::Http1(Http1Session::new(conn, owner)),
            Protocol::Http2 => PooledSession::Http2(Http2Session::new(conn, owner, max_head)),
        };
        // The connection may have closed already, and dropped its session.
        if !member.is_retired.get() {
            *member.session.borrow_mut() = Some(session);
        }
        member
    }

    fn session(&self) -> Option<PooledSession> {
        self.session.borrow().clone()
    }

    /// Sends a request. Returns the exchange, and whether the connection had carried a request before.
    pub(super) fn begin(
        &self,
        request: OutgoingRequest<'_>,
    ) -> Result<(Rc<Exchange>, bool), Failure> {
        let is_reused = self.is_used.replace(true);
        self.idle_until.set(None);
        let exchange = match self.session() {
            Some(PooledSession::Http1(session)) => session.begin(request)?,
            Some(PooledSession::Http2(session)) => session.begin(request)?,
            // It was closed after the pool had chosen it.
            None => {
                let settings = request.settings;
                let exchange = Exchange::new(settings.read_ahead, settings.max_body);
                exchange.fail(Failure::not_sent());
                return Ok((Rc::new(exchange), is_reused));
            }
        };
        if is_reused && let Some(pool) = self.pool.upgrade() {
            pool.count_reuse();
        }
        Ok((exchange, is_reused))
    }

    /// Returns `true` if a stream of an HTTP/2 connection is free.
    pub(super) fn has_room(&self) -> bool {
        match &*self.session.borrow() {
            Some(PooledSession::Http2(session)) => session.room() > self.reserved.get() as usize,
            _ => false,
        }
    }

    /// Returns `true` if a stream of an HTTP/2 connection is free, and reserves it.
    pub(super) fn reserve(&self) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.reserved.set(self.reserved.get() + 1);
        }
        has_room
    }

    pub(super) fn unreserve(&self) {
        self.reserved.set(self.reserved.get().saturating_sub(1));
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(*self.session.borrow(), Some(PooledSession::Http2(_)))
    }

    /// Returns `true` if an HTTP/2 connection carries requests.
    pub(super) fn is_busy(&self) -> bool {
        match &*self.session.borrow() {
            Some(PooledSession::Http2(session)) => session.active() > 0 || self.reserved.get() > 0,
            _ => false,
        }
    }

    pub(super) fn idle_since(&self) -> u64 {
        self.idle_since.get()
    }

    /// Checks that the connection may carry another request: its time is not over, and the server has neither closed it nor sent anything.
    pub(super) fn is_reusable(&self) -> bool {
        let is_over = |until: Timestamp| !Timestamp::now().is_before(until);
        if self.idle_until.get().is_some_and(is_over) || self.is_too_old() {
            return false;
        }
        self.is_alive()
    }

    /// Checks that the connection can carry a request now.
    pub(super) fn can_begin(&self) -> bool {
        let has_room = match &*self.session.borrow() {
            Some(PooledSession::Http2(session)) => session.room() > 0,
            _ => true,
        };
        has_room && self.is_alive()
    }

    /// Checks that the server has neither closed the connection nor, over HTTP/1, sent anything.
    pub(super) fn is_alive(&self) -> bool {
        match self.session() {
            Some(PooledSession::Http1(session)) => session.is_reusable(),
            Some(PooledSession::Http2(session)) => session.is_reusable(),
            None => false,
        }
    }

    fn is_too_old(&self) -> bool {
        let age = self.pool.upgrade().and_then(|pool| pool.limits.age);
        age.is_some_and(|age| self.created.age() >= age)
    }

    pub(super) fn close(&self) {
        match self.session() {
            Some(PooledSession::Http1(session)) => session.close(),
            Some(PooledSession::Http2(session)) => session.close(),
            None => {}
        }
    }

    /// Marks the connection as idle, and returns `false` if it has to be closed instead.
    pub(super) fn set_idle(&self, pool: &Pool, keep_alive: Option<Duration>) -> bool {
        let mut time = pool.limits.idle;
        if let Some(announced) = keep_alive {
            // The request must arrive before the server closes the connection.
            time = time.min(announced.saturating_sub(KEEP_ALIVE_MARGIN));
        }
        if let Some(age) = pool.limits.age {
            time = time.min(age.saturating_sub(self.created.age()));
        }
        if time.is_zero() {
            return false;
        }
        let until = Timestamp::now().after(time);
        self.idle_until.set(Some(until));
        self.idle_since.set(pool.next_position());
        match self.session() {
            Some(PooledSession::Http1(session)) => session.set_idle(Some(until)),
            Some(PooledSession::Http2(session)) => session.set_idle(Some(until)),
            None => return false,
        }
        true
    }
}

/// Time before the end of the server's `Keep-Alive: timeout` at which a connection is no longer used.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_millis(100);

impl SessionOwner for Member {
    fn available(&self, keep_alive: Option<Duration>) {
        let Some(member) = self.weak.upgrade() else {
            return;
        };
        match self.pool.upgrade() {
            Some(pool) => pool.available(&member, keep_alive),
            None if !self.is_busy() => self.close(),
            None => {}
        }
    }

    fn retired(&self) {
        if let Some(member) = self.weak.upgrade() {
            self.host.remove(&member);
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.dispatch();
        }
    }

    fn closed(&self) {
        if self.is_retired.replace(true) {
            return;
        }
        let session = self.session.borrow_mut().take();
        if let Some(member) = self.weak.upgrade() {
            self.host.remove(&member);
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.connection_closed(&self.host);
        }
        drop(session);
    }
}
