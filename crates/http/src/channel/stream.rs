//! Streams without a descriptor, the base of channels without a connection.
//!
//! Like a connection, a stream has a write queue, undelivered received bytes, and a state for each direction. A [`Carrier`] moves its
//! bytes. The driver runs callbacks in the next iteration.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, UseRemoteOrLoopHandle, catch};
use uptick_socket::engine::{ChannelSession, next_id};
use uptick_socket::{Address, Error};
use uptick_stream::Chunk;

use super::state::{DynSession, Receiving, Sending, StreamAction, StreamState};

/// The transport of a stream's bytes.
pub(crate) trait Carrier {
    /// Sends as many queued bytes as the carrier accepts, and end of stream after them.
    fn send(&self);

    /// Returns `true` if the peer is known to have acknowledged all sent bytes. Default: `false`, and acknowledgements are
    /// [recorded](VirtualStream::acknowledge).
    fn is_acknowledged(&self) -> bool {
        false
    }

    /// Called when received bytes were delivered, so that the peer may send more.
    fn delivered(&self, count: usize);

    /// Called when the stream was closed. If `reset` is set, the peer receives an error instead of end of stream.
    fn closed(&self, reset: bool);
}

/// A stream without a descriptor.
pub(crate) struct VirtualStream {
    id: Cell<Option<Id>>,
    number: u64,
    peer: Option<Address>,
    carrier: Box<dyn Carrier>,
    state: RefCell<StreamState>,
}

/// The handle of a stream, which becomes stale when the stream closes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StreamId {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

thread_local! {
    static STREAMS: RefCell<Table<Rc<VirtualStream>>> = const { RefCell::new(Table::new()) };
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
}

/// Calls `f` with the streams of the thread. Returns `None` during thread teardown.
fn with_streams<R>(f: impl FnOnce(&mut Table<Rc<VirtualStream>>) -> R) -> Option<R> {
    STREAMS.try_with(|all| f(&mut all.borrow_mut())).ok()
}

impl StreamId {
    fn new(id: Id) -> Self {
        StreamId {
            id,
            local: PhantomData,
        }
    }

    /// Returns the open streams of the thread.
    pub(super) fn all() -> Vec<StreamId> {
        with_streams(|all| all.ids().map(StreamId::new).collect()).unwrap_or_default()
    }

    /// Returns the stream, unless it is closed.
    pub(super) fn get(self) -> Option<Rc<VirtualStream>> {
        with_streams(|all| all.get(self.id).cloned()).flatten()
    }

    /// Calls `f` with the stream, unless it is closed.
    pub(super) fn visit(self, f: impl FnOnce(&VirtualStream)) {
        if let Some(stream) = self.get() {
            f(&stream);
        }
    }

    pub(super) fn token(self, driver: DriverId) -> Token {
        self.id.token(driver)
    }

    pub(super) fn find(token: Token) -> Option<StreamId> {
        let id = with_streams(|all| all.find(token)).flatten()?;
        Some(StreamId::new(id))
    }
}

impl VirtualStream {
    pub(crate) fn new(peer: Option<Address>, carrier: Box<dyn Carrier>) -> Self {
        VirtualStream {
            id: Cell::new(None),
            number: next_id(),
            peer,
            carrier,
            state: RefCell::new(StreamState::new()),
        }
    }

    /// Opens the stream, which keeps the loop running until it closes. Returns `None` if the stream table is full.
    pub(crate) fn open(self: &Rc<Self>) -> Option<StreamId> {
        let id = with_streams(|all| all.insert(Rc::clone(self))).flatten()?;
        self.id.set(Some(id));
        driver::hold();
        Some(StreamId::new(id))
    }

    /// Borrows the state. Callbacks must not run while it is borrowed.
    fn state(&self) -> RefMut<'_, StreamState> {
        self.state.borrow_mut()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn peer(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    pub(crate) fn buffered(&self) -> usize {
        self.state().queue.len()
    }

    pub(super) fn bytes_written(&self) -> u64 {
        self.state().written
    }

    pub(super) fn acknowledged(&self) -> u64 {
        let all = self.carrier.is_acknowledged();
        let mut state = self.state();
        if all {
            state.acknowledged = state.written;
        }
        state.acknowledged
    }

    pub(super) fn set_session(&self, session: Option<DynSession>) {
        let before = {
            let mut state = self.state();
            state.is_paused &= session.is_some();
            std::mem::replace(&mut state.session, session)
        };
        drop(before);
        self.advance_later();
    }

    pub(super) fn session<S: ChannelSession<Error>>(&self) -> Option<Rc<S>> {
        let session: Rc<dyn Any> = self.state().session.clone()?;
        session.downcast().ok()
    }

    pub(super) fn write(&self, chunk: impl Chunk) -> Option<bool> {
        self.push(|state| state.queue.push(chunk))
    }

    pub(super) fn write_with(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.push(|state| state.queue.push_with(f))
    }

    /// Calls `push` to add to the write queue, and returns `true` if there is room for more; `None` if the stream accepts no more bytes.
    fn push(&self, push: impl FnOnce(&mut StreamState)) -> Option<bool> {
        {
            let mut state = self.state();
            if state.is_closing || state.sending != Sending::Open || state.failure.is_some() {
                return None;
            }
            if state.queue.len() >= state.hard_limit {
                state.failure = Some(Error::BufferFull {
                    peer: self.peer_or_unnamed(),
                    limit: state.hard_limit,
                });
                drop(state);
                self.advance_later();
                return None;
            }
            if state.queue.is_empty() {
                state.since = driver::Timestamp::now();
            }
            push(&mut state);
        }
        self.send();
        let mut state = self.state();
        state.is_full |= state.queue.len() >= state.soft_limit;
        Some(!state.is_full)
    }

    pub(super) fn set_write_limits(&self, soft: usize, hard: usize) {
        let mut state = self.state();
        state.hard_limit = hard.max(1);
        state.soft_limit = soft.clamp(1, state.hard_limit);
    }

    pub(super) fn unshift(&self, bytes: &[u8], end: bool) {
        {
            let mut state = self.state();
            let rest = state.received.split();
            state.received.extend_from_slice(bytes);
            state.received.extend_from_slice(&rest);
            if end && state.receiving == Receiving::Open {
                state.receiving = Receiving::Ending;
            }
        }
        self.advance_later();
    }

    pub(super) fn pause(&self) {
        self.state().is_paused = true;
    }

    pub(super) fn resume(&self) {
        self.state().is_paused = false;
        self.advance_later();
    }

    pub(super) fn end(&self) {
        {
            let mut state = self.state();
            if state.is_closing || state.sending != Sending::Open {
                return;
            }
            state.sending = Sending::Ending;
        }
        self.send();
        self.advance_later();
    }

    pub(super) fn close(&self) {
        // As with a socket, the peer receives a reset if its bytes were not read.
        let unread = !self.state().received.is_empty();
        self.close_with(unread);
    }

    pub(super) fn reset(&self) {
        self.close_with(true);
    }

    pub(super) fn panicked(&self, message: &str) {
        self.fail(Error::Panic {
            object: format!("the connection with {}", self.peer_or_unnamed()).into(),
            message: message.into(),
        });
    }

    fn peer_or_unnamed(&self) -> Address {
        self.peer.clone().unwrap_or(Address::UNNAMED)
    }

    /// Passes queued bytes to the carrier, and arms the deadline for the remaining ones.
    pub(super) fn send(&self) {
        self.carrier.send();
        self.sent();
    }

    /// Updates the deadline after the carrier has taken bytes, and lets `drain` follow if there is room again.
    pub(crate) fn sent(&self) {
        let mut state = self.state();
        if let Some(limit) = state.limit() {
            let due = state.since.after(limit);
            state.deadline.arm(|| self.token(), due);
        }
        if state.is_full && state.queue.len() < state.soft_limit {
            drop(state);
            self.advance_later();
        }
    }

    /// Takes up to `max` queued bytes.
    pub(super) fn take_output(&self, max: usize) -> Option<BytesMut> {
        self.state().take_output(max)
    }

    /// Calls `send` with up to `max` queued bytes, and removes them. Returns their number.
    ///
    /// `send` must not use any channel.
    pub(crate) fn take_output_with(&self, max: usize, send: impl FnOnce(&[u8])) -> usize {
        self.state().take_output_with(max, send)
    }

    /// Returns `true`, once, if end of stream must be sent now.
    pub(crate) fn take_end(&self) -> bool {
        self.state().take_end()
    }

    /// Records that the peer has acknowledged bytes.
    pub(crate) fn acknowledge(&self, count: usize) {
        let mut state = self.state();
        state.acknowledged = state.written.min(state.acknowledged + count as u64);
    }

    /// Returns the number of received bytes that were not delivered.
    pub(super) fn undelivered(&self) -> usize {
        self.state().received.len()
    }

    /// Adds bytes received from the peer.
    pub(super) fn receive(&self, bytes: &[u8]) {
        {
            let mut state = self.state();
            if state.is_closing || state.receiving != Receiving::Open {
                return;
            }
            state.received.extend_from_slice(bytes);
        }
        self.advance_later();
    }

    /// Passes bytes received from the peer to the session now, if it can receive them, and otherwise adds them to the undelivered bytes.
    ///
    /// Must be called while no `RefCell` is borrowed.
    pub(crate) fn receive_now(&self, bytes: &mut BytesMut) {
        let session = {
            let mut state = self.state();
            if state.is_closing || state.receiving != Receiving::Open {
                return self.carrier.delivered(bytes.len());
            }
            let session = state.session_for_now();
            if session.is_none() {
                state.received.extend_from_slice(bytes);
            }
            session
        };
        let Some(session) = session else {
            return self.advance_later();
        };
        let count = bytes.len();
        match catch(|| session.data(bytes)) {
            Ok(()) => self.carrier.delivered(count),
            Err(message) => self.panicked(&message),
        }
    }

    /// Records end of stream from the peer.
    pub(crate) fn receive_end(&self) {
        {
            let mut state = self.state();
            if state.receiving == Receiving::Open {
                state.receiving = Receiving::Ending;
            }
        }
        self.advance_later();
    }

    /// Records a reset by the peer: the stream fails in the next iteration.
    pub(crate) fn receive_reset(&self) {
        let error = std::io::Error::from(rustix::io::Errno::CONNRESET);
        self.state().failure.get_or_insert_with(|| Error::Read {
            peer: self.peer_or_unnamed(),
            source: error.into(),
        });
        self.advance_later();
    }

    fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(|place| match place.get() {
            Some(driver) => driver,
            None => {
                let driver = driver::register(&StreamDriver);
                place.set(Some(driver));
                driver
            }
        });
        Some(self.id.get()?.token(driver.ok()?))
    }

    fn advance_later(&self) {
        if let Some(token) = self.token() {
            driver::ready_later(token, Readiness::empty());
        }
    }

    /// Runs the actions of the stream until it must wait.
    fn advance(&self) {
        loop {
            let action = self.state().next_action();
            match action {
                StreamAction::Data(session, mut bytes) => {
                    let count = bytes.len();
                    session.data(&mut bytes);
                    self.carrier.delivered(count);
                }
                StreamAction::Discarded(count) => self.carrier.delivered(count),
                StreamAction::Drain(Some(session)) => session.drain(),
                StreamAction::Drain(None) => {}
                StreamAction::End(session) => {
                    if let Some(session) = session {
                        session.end();
                    }
                    self.end();
                }
                StreamAction::Fail(error) => return self.fail(error),
                StreamAction::Close => return self.close_with(false),
                StreamAction::Stop => return,
            }
        }
    }

    /// Closes with an error.
    fn fail(&self, error: Error) {
        let session = {
            let mut state = self.state();
            if state.is_closing {
                return;
            }
            // Writes of the callbacks are refused as well.
            state.sending = Sending::Ended;
            state.session.clone()
        };
        if let Some(session) = session
            && let Err(message) = catch(|| session.error(&error))
        {
            tracing::error!("an error callback of a stream panicked: {message}");
        }
        self.close_with(true);
    }

    /// Closes the stream. The handle becomes stale after the session's `close`.
    fn close_with(&self, reset: bool) {
        let session = {
            let mut state = self.state();
            if std::mem::replace(&mut state.is_closing, true) {
                return;
            }
            state.queue.clear();
            state.received.clear();
            state.deadline.cancel();
            state.session.clone()
        };
        self.carrier.closed(reset);
        if let Some(session) = session
            && let Err(message) = catch(|| session.close())
        {
            tracing::error!("a close callback of a stream panicked: {message}");
        }
        let session = self.state().session.take();
        drop(session);
        if let Some(id) = self.id.take() {
            let removed = with_streams(|all| all.remove(id));
            drop(removed);
            driver::release();
        }
    }

    /// Handles the expiry of the deadline.
    fn expired(&self) {
        let limit = {
            let mut state = self.state();
            state.deadline.expired();
            let Some(limit) = state.limit() else { return };
            if !state.since.is_over(limit) {
                let due = state.since.after(limit);
                return state.deadline.arm(|| self.token(), due);
            }
            (state.sending != Sending::Ended).then_some(limit)
        };
        match limit {
            Some(after) => self.fail(Error::Timeout {
                operation: format!("writing to {}", self.peer_or_unnamed()).into(),
                after,
            }),
            None => self.close_with(true),
        }
    }
}

/// The driver for deferred actions and deadlines of streams.
struct StreamDriver;

fn find(token: Token) -> Option<Rc<VirtualStream>> {
    StreamId::find(token)?.get()
}

impl Driver for StreamDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(stream) = find(token) {
            stream.advance();
        }
    }

    fn expired(&self, token: Token) {
        if let Some(stream) = find(token) {
            stream.expired();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        match find(token) {
            Some(stream) => stream.panicked(message),
            None => tracing::error!("a callback panicked after its stream had closed: {message}"),
        }
    }
}
