//! The session of an HTTP/1.1 connection, and its driver.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use super::receiving::Pausing;
use super::request::{RequestFlags, RunningRequest};
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, SessionOwner, is_up_to_date};

/// Soft limit of the write queue, in bytes. There is no hard limit: a body is written piece by piece, and a body in memory at once.
const WRITE_LIMIT: usize = 64 * 1024;

/// Maximum time between the response that switches protocols and [`Http1Session::take_upgraded`].
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct SessionFlags: u8 {
        /// The connection has carried a request.
        const USED = 1 << 0;
        /// The connection does not keep the loop running.
        const RELEASED = 1 << 1;
        /// The connection closes at `until`, unless a request begins.
        const EXPIRES = 1 << 2;
        /// The owner was notified that no further request can follow.
        const RETIRED = 1 << 3;
        /// The owner was notified that the connection has closed.
        const CLOSED = 1 << 4;
    }
}

/// An HTTP/1.1 connection to a server or a proxy.
pub(crate) struct Http1Session {
    pub(super) conn: Connection,
    pub(super) owner: Rc<dyn SessionOwner>,
    pub(super) state: RefCell<SessionState>,
}

/// The mutable state of a session.
#[derive(Default)]
pub(super) struct SessionState {
    pub(super) running: Option<Box<RunningRequest>>,
    /// The bytes received after a response that switched protocols.
    pub(super) upgraded: Option<Box<Bytes>>,
    pub(super) deadline: LazyDeadline,
    /// Start of the time for which the connection is idle.
    pub(super) since: Timestamp,
    /// End of the time for which the connection may be idle.
    pub(super) until: Timestamp,
    /// The iteration of the loop in which the last response was complete.
    pub(super) iteration: u64,
    pub(super) flags: SessionFlags,
}

impl Http1Session {
    /// Creates the session of a new connection, and sets it. If the connection has closed already, the owner is notified at once.
    pub(crate) fn new(conn: Connection, owner: Rc<dyn SessionOwner>) -> Rc<Self> {
        register();
        let session = Rc::new(Http1Session {
            conn,
            owner,
            state: RefCell::default(),
        });
        conn.set_write_limits(WRITE_LIMIT, usize::MAX);
        conn.set_read_before_write_error(true);
        conn.set_session(Rc::<Http1Session>::clone(&session));
        if !conn.is_open() {
            session.report_closed();
        }
        session
    }

    /// Lets the loop end while the connection is idle, and closes the connection at `until` if no request has begun by then. Called after
    /// [`SessionOwner::available`].
    pub(crate) fn set_idle(&self, until: Option<Timestamp>) {
        let mut state = self.state.borrow_mut();
        if state.running.is_some() || state.flags.contains(SessionFlags::CLOSED) {
            return;
        }
        if !state.flags.contains(SessionFlags::RELEASED) {
            state.flags.insert(SessionFlags::RELEASED);
            driver::release();
        }
        state.expire_at(until);
        self.arm(&mut state);
    }

    /// Returns `true` if another request can begin: the connection is open, and the server has sent nothing and not closed it.
    ///
    /// It costs one system call; a reading of the clock if the last response was completed in this iteration of the loop, less than 1 ms ago.
    pub(crate) fn is_reusable(&self) -> bool {
        let state = self.state.borrow();
        let is_over = SessionFlags::RETIRED | SessionFlags::CLOSED;
        if state.running.is_some() || state.upgraded.is_some() || state.flags.intersects(is_over) {
            return false;
        }
        if state.flags.contains(SessionFlags::EXPIRES) && !Timestamp::now().is_before(state.until) {
            return false;
        }
        let is_known = state.flags.contains(SessionFlags::USED)
            && state.iteration == driver::iteration()
            && is_up_to_date();
        match is_known {
            true => !self.conn.is_hung_up(),
            false => !self.conn.has_input(),
        }
    }

    /// Closes the connection. A request in progress fails as cancelled.
    pub(crate) fn close(&self) {
        let failure = Failure::new(ErrorKind::Cancelled, "the connection was closed");
        self.fail(failure);
    }

    /// Takes the connection after a response that switched protocols, with the bytes received after that response. The connection then has
    /// no session, and the owner is notified as if it had closed.
    pub(crate) fn take_upgraded(&self) -> Option<(Connection, Bytes)> {
        let rest = {
            let mut state = self.state.borrow_mut();
            let rest = state.upgraded.take()?;
            state.deadline.cancel();
            rest
        };
        self.conn.clear_session();
        self.report_closed();
        Some((self.conn, *rest))
    }

    /// Waits for [`take_upgraded`](Http1Session::take_upgraded) after a response that switched protocols. Returns the exchange.
    pub(super) fn upgrade(&self) -> Option<Rc<Exchange>> {
        self.conn.pause();
        let mut state = self.state.borrow_mut();
        let mut running = state.running.take()?;
        state.upgraded = Some(Box::new(running.decoder.take_rest()));
        state.expire_at(Some(Timestamp::now().after(UPGRADE_LIMIT)));
        self.arm(&mut state);
        Some(running.exchange)
    }

    /// Notifies the owner that no further request can follow, once.
    pub(super) fn report_retired(&self) {
        let mut state = self.state.borrow_mut();
        let is_over = SessionFlags::RETIRED | SessionFlags::CLOSED;
        let was_over = state.flags.intersects(is_over);
        state.flags.insert(SessionFlags::RETIRED);
        drop(state);
        if !was_over {
            self.owner.retired();
        }
    }

    /// Notifies the owner that the connection has closed, once.
    fn report_closed(&self) {
        let mut state = self.state.borrow_mut();
        let was_closed = state.flags.contains(SessionFlags::CLOSED);
        state.flags.insert(SessionFlags::CLOSED);
        drop(state);
        if !was_closed {
            self.owner.closed();
        }
    }

    /// Ends the request in progress, if there is one, and closes the connection.
    pub(super) fn take_and_close(&self) -> Option<Box<RunningRequest>> {
        let running = self.state.borrow_mut().running.take();
        self.conn.close();
        running
    }

    /// Closes the connection, and fails the request in progress.
    pub(super) fn fail(&self, failure: Failure) {
        if let Some(running) = self.take_and_close() {
            running.exchange.fail(failure);
        }
    }

    /// Returns the failure of a request whose connection has ended.
    pub(super) fn closed_failure(&self, running: &RunningRequest) -> Failure {
        let (kind, phase) = if !running.has(RequestFlags::BEGUN) {
            (ErrorKind::ClosedBeforeResponse, "before the response began")
        } else if !running.has(RequestFlags::ANSWERED) {
            (
                ErrorKind::ClosedInHead,
                "before the head of the response was complete",
            )
        } else {
            (
                ErrorKind::ClosedInBody,
                "before the body of the response was complete",
            )
        };
        let peer = self.conn.peer().map(|peer| format!(" to {peer}"));
        let peer = peer.unwrap_or_default();
        let mut failure = match &running.error {
            Some((own, error)) => Failure::new(
                own.unwrap_or(kind),
                format!("the connection{peer} failed {phase}: {error}"),
            ),
            None => Failure::new(
                kind,
                format!("the server closed the connection{peer} {phase}"),
            ),
        };
        // Without a byte of the request, the server cannot have processed it.
        failure.unprocessed =
            kind == ErrorKind::ClosedBeforeResponse && self.conn.bytes_written() == running.start;
        failure
    }

    /// Returns the token of the connection in the driver of the deadlines.
    pub(super) fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(Cell::get).ok()??;
        Some(self.conn.token(driver))
    }
}

impl SessionState {
    /// Sets the end of the time without a request.
    fn expire_at(&mut self, until: Option<Timestamp>) {
        self.since = Timestamp::now();
        self.until = until.unwrap_or_default();
        self.flags.set(SessionFlags::EXPIRES, until.is_some());
    }

    /// Keeps the loop running again, and the connection open.
    pub(super) fn end_idle(&mut self) {
        if self.flags.contains(SessionFlags::RELEASED) {
            driver::hold();
        }
        self.flags
            .remove(SessionFlags::RELEASED | SessionFlags::EXPIRES);
    }
}

impl Session<Connection> for Http1Session {
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        self.received(bytes);
    }

    fn end(&self, _: &Visit<Connection>) {
        self.ended();
    }

    fn drain(&self, _: &Visit<Connection>) {
        self.drained();
    }

    fn error(&self, _: &Visit<Connection>, error: &uptick_socket::Error) {
        if let Some(running) = &mut self.state.borrow_mut().running {
            running.error = Some((running.kind_of(error), error.to_string()));
        }
    }

    fn close(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state.borrow_mut();
            state.deadline.cancel();
            state.end_idle();
            state.upgraded = None;
            if let Some(running) = &mut state.running {
                running.flags.insert(RequestFlags::CLOSES);
            }
        }
        self.report_closed();
        // The response may be complete, but not delivered because its reader was slow.
        self.advance(Pausing::Ignored);
        let running = self.state.borrow_mut().running.take();
        if let Some(running) = running {
            running.exchange.fail(self.closed_failure(&running));
        }
    }
}

impl RunningRequest {
    /// Returns the kind of failure that an error of the connection determines.
    fn kind_of(&self, error: &uptick_socket::Error) -> Option<ErrorKind> {
        match error {
            uptick_socket::Error::Timeout { .. } => Some(ErrorKind::WriteTimeout),
            // With TLS 1.3, a server refuses the certificate of the client after the handshake of the client.
            uptick_socket::Error::Filter { source, .. }
                if !self.has(RequestFlags::BEGUN | RequestFlags::REUSED)
                    && !is_truncation(&**source) =>
            {
                Some(ErrorKind::Tls)
            }
            _ => None,
        }
    }
}

/// Returns `true` if the error is an end of stream without `close_notify`.
#[cfg(feature = "tls")]
fn is_truncation(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(
        error.downcast_ref(),
        Some(uptick_tls::Error::Truncated { .. })
    )
}

#[cfg(not(feature = "tls"))]
fn is_truncation(_: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    false
}

thread_local! {
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
}

fn register() {
    let _ = DRIVER.try_with(|driver| {
        if driver.get().is_none() {
            driver.set(Some(driver::register(&SessionDriver)));
        }
    });
}

/// The driver for the deadlines and the deferred actions of sessions.
struct SessionDriver;

impl Driver for SessionDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(session) = find(token) {
            session.advance(Pausing::Allowed);
        }
    }

    fn expired(&self, token: Token) {
        if let Some(session) = find(token) {
            session.expired();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        tracing::error!("a callback of an HTTP request panicked: {message}");
        if let Some(conn) = Connection::find(token) {
            conn.close();
        }
    }
}

fn find(token: Token) -> Option<Rc<Http1Session>> {
    Connection::find(token)?.session()
}
