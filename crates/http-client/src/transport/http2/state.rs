//! The state of a session.

use std::borrow::Cow;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_http::h2::{self, StreamKey};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::{SessionFlags, StreamFlags};
use super::stream::Http2Stream;
use crate::error::Failure;
use crate::transport::{Exchange, SessionOwner};

/// Maximum number of streams at the same time, if the server allows more.
pub(super) const MAX_STREAMS: usize = 1000;

/// The session of an HTTP/2 connection.
pub(crate) struct Http2Session {
    pub(super) conn: Connection,
    /// The owner, until the connection has closed.
    pub(super) owner: RefCell<Option<Rc<dyn SessionOwner>>>,
    state: RefCell<SessionState>,
}

/// The mutable state of a session.
pub(super) struct SessionState {
    pub(super) codec: h2::Connection<Rc<Http2Stream>>,
    pub(super) deadline: LazyDeadline,
    /// Time of the last reception.
    pub(super) received: Timestamp,
    /// Time of the last PING frame.
    pub(super) pinged: Timestamp,
    /// Time at which the kernel has last accepted bytes, as far as it was checked.
    pub(super) progress: Timestamp,
    /// Number of bytes that the kernel had accepted at that time, modulo 2³².
    pub(super) written: u32,
    /// Start of the idle time.
    pub(super) idle_since: Timestamp,
    /// End of the idle time.
    pub(super) idle_until: Option<Timestamp>,
    /// The iteration of the loop in which the session became idle.
    pub(super) idle_iteration: u64,
    /// Number of bytes queued by all streams.
    pub(super) queued: usize,
    /// The streams with deferred actions.
    pub(super) listed: Vec<StreamKey>,
    /// Failures of removed streams that were not reported yet.
    pub(super) failed: Vec<(Rc<Exchange>, Failure)>,
    /// The reason for the end of the connection.
    pub(super) reason: Option<Cow<'static, str>>,
    /// The error code of the GOAWAY frame that was received.
    pub(super) go_away: Option<h2::ErrorCode>,
    pub(super) flags: SessionFlags,
}

thread_local! {
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
}

impl Http2Session {
    pub(super) fn create(
        conn: Connection,
        owner: Rc<dyn SessionOwner>,
        limits: &h2::Limits,
        driver: &'static dyn Driver,
    ) -> Rc<Self> {
        register(driver);
        Rc::new(Http2Session {
            conn,
            owner: RefCell::new(Some(owner)),
            state: RefCell::new(SessionState {
                codec: h2::Connection::client(limits),
                deadline: LazyDeadline::default(),
                received: Timestamp::now(),
                pinged: Timestamp::default(),
                progress: Timestamp::now(),
                written: 0,
                idle_since: Timestamp::default(),
                idle_until: None,
                idle_iteration: 0,
                queued: 0,
                listed: Vec::new(),
                failed: Vec::new(),
                reason: None,
                go_away: None,
                flags: SessionFlags::empty(),
            }),
        })
    }

    /// Borrows the state. Callbacks must not run while it is borrowed. A stream may be borrowed meanwhile, but not the other way round.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, SessionState> {
        self.state.borrow_mut()
    }

    /// Returns the owner, unless the connection has closed.
    pub(super) fn owner(&self) -> Option<Rc<dyn SessionOwner>> {
        self.owner.borrow().clone()
    }

    /// Returns the stream, unless it was removed.
    pub(super) fn stream(&self, key: StreamKey) -> Option<Rc<Http2Stream>> {
        self.state().codec.get(key).cloned()
    }

    /// Returns the streams in the order in which they were opened.
    pub(super) fn streams(&self) -> Vec<Rc<Http2Stream>> {
        let state = self.state();
        let codec = &state.codec;
        let mut streams: Vec<_> = codec
            .keys()
            .filter_map(|key| codec.get(key).cloned())
            .collect();
        streams.sort_unstable_by_key(|stream| stream.key);
        streams
    }

    /// Returns the token of the connection in the driver.
    pub(super) fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(Cell::get).ok()??;
        Some(self.conn.token(driver))
    }

    /// Handles deferred actions in the next iteration, unless the session is being handled.
    pub(super) fn advance_later(&self, state: &SessionState) {
        if !state.flags.contains(SessionFlags::ADVANCING)
            && let Some(token) = self.token()
        {
            driver::ready_later(token, Readiness::empty());
        }
    }

    pub(super) fn arm(&self, state: &mut SessionState, due: Timestamp) {
        state.deadline.arm(|| self.token(), due);
    }

    /// Pauses reading.
    pub(super) fn pause(&self, state: &mut SessionState) {
        if !state.flags.contains(SessionFlags::PAUSED) {
            state.flags.insert(SessionFlags::PAUSED);
            self.conn.pause();
        }
    }

    /// Resumes reading.
    pub(super) fn resume(&self, state: &mut SessionState) {
        if state.flags.contains(SessionFlags::PAUSED) {
            state.flags.remove(SessionFlags::PAUSED);
            self.conn.resume();
        }
    }
}

impl SessionState {
    /// Returns the number of requests that can be sent now.
    pub(super) fn room(&self) -> usize {
        let ends = SessionFlags::CLOSING | SessionFlags::RETIRED;
        if self.flags.intersects(ends) {
            return 0;
        }
        let most = MAX_STREAMS.saturating_sub(self.codec.len());
        self.codec.room().min(most)
    }

    /// Lists a stream for its deferred actions, which the caller starts.
    pub(super) fn list(&mut self, stream: &Http2Stream, flags: &mut StreamFlags) {
        if !flags.contains(StreamFlags::LISTED) {
            flags.insert(StreamFlags::LISTED);
            self.listed.push(stream.key);
        }
    }

    /// Records the result of a write to the connection.
    #[inline]
    pub(super) fn written(&mut self, open: Option<bool>) {
        if open != Some(true) {
            self.flags.insert(SessionFlags::FULL);
        }
    }
}

fn register(driver: &'static dyn Driver) {
    let _ = DRIVER.try_with(|place| {
        if place.get().is_none() {
            place.set(Some(driver::register(driver)));
        }
    });
}
