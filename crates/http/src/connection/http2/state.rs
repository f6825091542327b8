//! The state of a connection.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::{Rc, Weak};

use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::{ConnectionFlags, StreamFlags};
use super::stream::Http2Stream;
use crate::connection::acknowledgements::Acknowledgements;
use crate::exchange::Exchange;
use crate::h2::{self, StreamKey};
use crate::site::Service;

/// An HTTP/2 connection: the session of its stream of bytes.
pub(super) struct Http2Connection {
    pub(super) conn: Connection,
    pub(super) service: Rc<Service>,
    this: Weak<Http2Connection>,
    state: RefCell<ConnectionState>,
}

/// The mutable state of a connection.
pub(super) struct ConnectionState {
    pub(super) codec: h2::Connection<Rc<Http2Stream>>,
    pub(super) deadline: LazyDeadline,
    /// Start of the wait for a request, if no stream is open.
    pub(super) since: Timestamp,
    /// Start of the wait for the rest of a header block.
    pub(super) head_since: Timestamp,
    /// Time at which body bytes of any stream were last sent.
    pub(super) progress: Timestamp,
    /// Number of bytes queued by all streams.
    pub(super) queued: usize,
    /// The streams with deferred actions.
    pub(super) listed: Vec<StreamKey>,
    /// Rarely used state.
    pub(super) extra: Option<Box<ExtraState>>,
    pub(super) acknowledged: Acknowledgements,
    pub(super) flags: ConnectionFlags,
}

/// State that most connections do not need.
#[derive(Default)]
pub(super) struct ExtraState {
    /// Requests that wait: for room, or for another one if the server handles one at a time.
    pub(super) waiting: std::collections::VecDeque<StreamKey>,
    /// Exchanges of reset streams whose requests the program still uses.
    pub(super) lingering: Vec<(StreamKey, Rc<Exchange>)>,
    /// Time at which the end of the connection was announced.
    pub(super) announced: Timestamp,
    /// Time of the last PING frame to a half-closed client.
    pub(super) probed: Timestamp,
}

thread_local! {
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
}

impl Http2Connection {
    pub(super) fn new(
        conn: Connection,
        service: &Rc<Service>,
        driver: &'static dyn Driver,
    ) -> Rc<Self> {
        register(driver);
        let site = service.site();
        let codec = h2::Connection::server(&site.settings.http2_limits());
        Rc::new_cyclic(|this| Http2Connection {
            conn,
            service: Rc::clone(service),
            this: Weak::clone(this),
            state: RefCell::new(ConnectionState {
                codec,
                deadline: LazyDeadline::default(),
                since: Timestamp::now(),
                head_since: Timestamp::default(),
                progress: Timestamp::default(),
                queued: 0,
                listed: Vec::new(),
                extra: None,
                acknowledged: Acknowledgements::default(),
                flags: ConnectionFlags::FRESH,
            }),
        })
    }

    /// Borrows the state. Callbacks must not run while it is borrowed. A stream may be borrowed meanwhile, but not the other way round.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, ConnectionState> {
        self.state.borrow_mut()
    }

    /// Returns the connection for a new stream.
    #[inline]
    pub(super) fn shared(&self) -> Option<Rc<Http2Connection>> {
        self.this.upgrade()
    }

    /// Returns the stream, unless it was removed.
    pub(super) fn stream(&self, key: StreamKey) -> Option<Rc<Http2Stream>> {
        self.state().codec.get(key).cloned()
    }

    /// Returns the streams.
    pub(super) fn streams(&self) -> Vec<Rc<Http2Stream>> {
        let state = self.state();
        let codec = &state.codec;
        codec
            .keys()
            .filter_map(|key| codec.get(key).cloned())
            .collect()
    }

    /// Returns the token of the connection in the driver.
    pub(super) fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(Cell::get).ok()??;
        Some(self.conn.token(driver))
    }

    /// Continues in the next iteration.
    pub(super) fn advance_later(&self) {
        if let Some(token) = self.token() {
            driver::ready_later(token, Readiness::empty());
        }
    }

    /// Handles a stream again, now if its connection is being handled, otherwise in the next iteration.
    pub(super) fn list(&self, stream: &Http2Stream) {
        let mut state = self.state();
        {
            let mut of_stream = stream.state();
            if of_stream.flags.contains(StreamFlags::LISTED) {
                return;
            }
            of_stream.flags.insert(StreamFlags::LISTED);
        }
        state.listed.push(stream.key());
        let advancing = state.flags.contains(ConnectionFlags::ADVANCING);
        drop(state);
        if !advancing {
            self.advance_later();
        }
    }

    /// Pauses reading.
    pub(super) fn pause(&self, state: &mut ConnectionState) {
        if !state.flags.contains(ConnectionFlags::PAUSED) {
            state.flags.insert(ConnectionFlags::PAUSED);
            self.conn.pause();
        }
    }

    /// Resumes reading.
    pub(super) fn resume(&self, state: &mut ConnectionState) {
        if state.flags.contains(ConnectionFlags::PAUSED) {
            state.flags.remove(ConnectionFlags::PAUSED);
            self.conn.resume();
        }
    }
}

impl ConnectionState {
    /// Returns the number of open streams, without reset ones whose requests the program still uses.
    #[inline]
    pub(super) fn open_streams(&self) -> usize {
        let lingering = self.extra.as_ref().map_or(0, |extra| extra.lingering.len());
        self.codec.len().saturating_sub(lingering)
    }

    /// Returns rarely used state, creating it if needed.
    pub(super) fn extra(&mut self) -> &mut ExtraState {
        self.extra.get_or_insert_default()
    }
}

fn register(driver: &'static dyn Driver) {
    let _ = DRIVER.try_with(|place| {
        if place.get().is_none() {
            place.set(Some(driver::register(driver)));
        }
    });
}
