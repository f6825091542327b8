//! The state of a session: its state machine, its transports and its listeners.
//!
//! ```text
//! requests, WebSocket, timer ─→ inputs ─→ Session ─→ actions ─→ requests, WebSocket, listeners
//! ```
//!
//! No borrow is held while a listener runs. Calls to send, close and abort in a listener take effect at the end of the iteration, so that
//! no listener runs during the call of another.
//!
//! Cost of a packet sent directly over a WebSocket: one lookup of the session, and one copy of the frame to the write queue of the connection. Cost of a
//! received WebSocket message: the same lookup, and one indirect call.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use uptick_emitter::{Event, Listeners, emit};
use uptick_event_loop::driver::add_timeout;
use uptick_event_loop::{Id, Timer, catch};
use uptick_websocket::{CloseCode, Message, Sent, SlowPolicy};

use super::client::Client;
use super::clients;
use super::clock::{self, passed_in_last_wait};
use super::handshake::Handshake;
use super::mounted::MountedEngine;
use super::polling::PollingRequests;
use super::session_id::SessionId;
use super::stats::count;
use super::websocket::WebSocketHandle;
use super::{ClientProtocol, EngineIo};
use crate::protocol::packet::Encoded;
use crate::protocol::session::{
    Action, CloseReason, Input, SendError, Session, SessionOptions, Transport,
};

/// Number of bytes queued for a client above which [`Sent::Buffered`] is returned.
const SOFT_LIMIT: usize = 64 * 1024;

/// The state of a session.
pub(super) struct ClientState {
    id: Cell<Option<Id>>,
    pub(super) sid: SessionId,
    pub(super) mounted: Rc<MountedEngine>,
    pub(super) handshake: Rc<Handshake>,
    session: RefCell<Session>,
    protocol: OnceCell<Rc<dyn ClientProtocol>>,
    listeners: RefCell<Listeners>,
    /// The WebSocket: the current transport, or a candidate for an upgrade.
    websocket: Cell<Option<WebSocketHandle>>,
    /// The pending HTTP requests.
    requests: RefCell<Option<Box<PollingRequests>>>,
    /// The timer, and the time for which it is set.
    timer: Cell<Option<(Instant, Timer)>>,
    flags: SessionFlags,
}

/// Flags of a session.
#[derive(Default)]
struct SessionFlags {
    /// Set while actions are performed.
    acting: Cell<bool>,
    /// `true` if [`ClientState::flush`] will be called at the end of the iteration.
    dirty: Cell<bool>,
    /// `true` if `drain` must be emitted when the queue is empty.
    drain: Cell<bool>,
    /// `true` if the WebSocket must be closed without a close handshake.
    terminate: Cell<bool>,
}

impl ClientState {
    /// Opens a session; `None` if the table of the thread is full.
    pub(super) fn open(
        mounted: &Rc<MountedEngine>,
        sid: SessionId,
        transport: Transport,
        handshake: Handshake,
    ) -> Option<Rc<ClientState>> {
        let engine = &mounted.engine;
        let options: Arc<SessionOptions> = Arc::clone(&engine.session_options);
        let session = Session::open(options, sid.as_str(), transport, clock::current_time());
        let state = Rc::new(ClientState {
            id: Cell::new(None),
            sid,
            mounted: Rc::clone(mounted),
            handshake: Rc::new(handshake),
            session: RefCell::new(session),
            protocol: OnceCell::new(),
            listeners: RefCell::new(Listeners::new()),
            websocket: Cell::new(None),
            requests: RefCell::new(None),
            timer: Cell::new(None),
            flags: SessionFlags::default(),
        });
        let id = clients::insert(Rc::clone(&state))?;
        state.id.set(Some(id));
        engine.add(sid, Client::of(id));
        count(&engine.counts.opened);
        Some(state)
    }

    /// Passes the session to the protocol on top, after its handshake was queued.
    pub(super) fn start(&self) {
        let Some(client) = self.client() else { return };
        let engine = &self.mounted.engine;
        let open = engine.protocol.borrow().clone();
        let opened = catch(|| {
            if let Some(open) = open {
                // The cell is empty before.
                let _ = self.protocol.set(open(client));
            }
            if let Some(engine) = engine.handle() {
                emit(&engine, EngineIo::CONNECTION, client);
            }
        });
        self.contain(opened.err());
    }

    pub(super) fn client(&self) -> Option<Client> {
        self.id.get().map(Client::of)
    }

    /// Borrows the session. No callback may run during the borrow.
    pub(super) fn session(&self) -> RefMut<'_, Session> {
        self.session.borrow_mut()
    }

    /// Calls `f` with the pending requests.
    pub(super) fn with_requests<R>(&self, f: impl FnOnce(&mut PollingRequests) -> R) -> R {
        f(self.requests.borrow_mut().get_or_insert_default())
    }

    pub(super) fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> R {
        f(&mut self.listeners.borrow_mut())
    }

    pub(super) fn websocket(&self) -> Option<WebSocketHandle> {
        self.websocket.get()
    }

    pub(super) fn set_websocket(&self, ws: WebSocketHandle) {
        self.websocket.set(Some(ws));
    }

    /// Sends a packet: directly to the WebSocket if possible, otherwise to the queue.
    #[inline]
    pub(super) fn send(&self, packet: &Encoded) -> Sent {
        let direct = self.session().is_direct();
        match self.websocket.get() {
            Some(ws) if direct => self.send_directly(ws, packet),
            _ => self.queue(packet),
        }
    }

    #[inline]
    fn send_directly(&self, ws: WebSocketHandle, packet: &Encoded) -> Sent {
        let engine = &self.mounted.engine;
        let mut sent = ws.send(engine, packet.head());
        for attachment in packet.attachments() {
            // The frames of a packet are sent together, even if the write queue is full.
            match ws.send(engine, attachment.clone()) {
                Sent::Sent => {}
                other => sent = other,
            }
        }
        if sent == Sent::Buffered {
            self.session().handle(Input::WebSocketBlocked, clock::now());
            self.flags.drain.set(true);
        }
        sent
    }

    /// Adds a packet to the queue.
    fn queue(&self, packet: &Encoded) -> Sent {
        let mut session = self.session();
        match session.send(packet) {
            Ok(()) => {
                let blocked = session.transport() == Transport::WebSocket;
                let (_, bytes) = session.queued();
                drop(session);
                self.flush_later();
                if !blocked && bytes <= SOFT_LIMIT {
                    return Sent::Sent;
                }
                self.flags.drain.set(true);
                Sent::Buffered
            }
            Err(SendError::Full { packets, bytes }) => {
                drop(session);
                self.full(packets, bytes);
                Sent::Dropped
            }
            Err(SendError::Closed) => Sent::Dropped,
        }
    }

    /// Applies the slow-client policy to a packet that could not be queued.
    #[cold]
    fn full(&self, packets: usize, bytes: usize) {
        let engine = &self.mounted.engine;
        count(&engine.counts.dropped);
        match engine.options.slow_policy {
            SlowPolicy::Close => {
                count(&engine.counts.slow_closes);
                tracing::warn!(
                    packets,
                    bytes,
                    "closing an Engine.IO session: the client does not read"
                );
                self.flags.terminate.set(true);
                self.abort(CloseReason::TransportError);
            }
            SlowPolicy::Error => tracing::warn!(
                packets,
                bytes,
                "dropping a packet: the Engine.IO client does not read"
            ),
            _ => {}
        }
    }

    /// Closes the session once the client has received all queued packets.
    pub(super) fn close(&self) {
        self.session().close(clock::now());
        self.flush_later();
    }

    /// Closes the session without waiting for the client.
    pub(super) fn abort(&self, reason: CloseReason) {
        self.session().abort_for(reason);
        self.flush_later();
    }

    fn flush_later(&self) {
        if let Some(id) = self.id.get()
            && !self.flags.dirty.replace(true)
        {
            clients::flush_later(id);
        }
    }

    /// Writes the packets that were sent during the iteration. Called at its end.
    pub(super) fn flush(&self) {
        self.flags.dirty.set(false);
        self.input(Input::Flush);
    }

    /// Passes an input to the session, and performs the resulting actions.
    pub(super) fn input(&self, input: Input) {
        self.session().handle(input, clock::now());
        self.perform_actions();
    }

    /// Handles a deadline that expired before the event that is handled now.
    pub(super) fn catch_up(&self) {
        let due = self.session().deadline();
        if due.is_some_and(passed_in_last_wait) {
            self.input(Input::Deadline);
        }
    }

    /// Handles a message from the WebSocket.
    #[inline]
    pub(super) fn websocket_message(&self, frame: Message) {
        let message = self.session().receive(frame, clock::now());
        match message {
            Some(message) => self.deliver(message),
            None => self.perform_actions(),
        }
    }

    /// Performs the actions of the session. A nested call returns immediately, because the outer call continues.
    fn perform_actions(&self) {
        if self.flags.acting.replace(true) {
            return;
        }
        loop {
            let action = self.session().next_action();
            let Some(action) = action else { break };
            self.perform(action);
        }
        self.flags.acting.set(false);
        self.arm();
        self.drained();
    }

    fn perform(&self, action: Action) {
        match action {
            Action::Message(message) => self.deliver(message),
            Action::Heartbeat => self.notify(Client::HEARTBEAT, ()),
            Action::RespondPoll(body) => self.with_requests(|all| all.respond_poll(body)),
            Action::RejectPoll => self.with_requests(PollingRequests::reject_poll),
            Action::RespondPost => self.with_requests(PollingRequests::respond_post),
            Action::RejectPost(status) => self.with_requests(|all| all.reject_post(status)),
            Action::AbortPost => self.with_requests(PollingRequests::abort_post),
            Action::SendFrame(frame) => drop(self.send_frame(frame)),
            Action::SendFrames => self.send_frames(),
            Action::CloseWebSocket(code) => self.close_websocket(code),
            // A WebSocket that cannot be probed is not passed to the session.
            Action::RejectWebSocket => {}
            Action::Upgraded => {
                count(&self.mounted.engine.counts.upgrades);
                self.notify(Client::UPGRADE, Transport::WebSocket);
            }
            Action::Closed(reason) => self.finish(reason),
        }
        self.free_requests_if(|all| all.is_empty());
    }

    /// Frees the storage for requests if it is no longer needed.
    fn free_requests_if(&self, is_empty: impl FnOnce(&PollingRequests) -> bool) {
        let mut requests = self.requests.borrow_mut();
        if requests.as_deref().is_some_and(is_empty) {
            *requests = None;
        }
    }

    fn send_frame(&self, frame: Message) -> Sent {
        let sent = match self.websocket.get() {
            Some(ws) => ws.send(&self.mounted.engine, frame),
            None => Sent::Dropped,
        };
        if sent == Sent::Buffered {
            self.session().handle(Input::WebSocketBlocked, clock::now());
        }
        sent
    }

    /// Sends queued frames until the write queue of the WebSocket is full, or all of them if the session is over.
    fn send_frames(&self) {
        loop {
            let (frame, is_over) = {
                let mut session = self.session();
                (session.take_frame(), session.is_closed())
            };
            let Some(frame) = frame else { return };
            if self.send_frame(frame) != Sent::Sent && !is_over {
                return;
            }
        }
    }

    fn close_websocket(&self, code: Option<u16>) {
        if let Some(ws) = self.websocket.take() {
            let engine = &self.mounted.engine;
            match code {
                _ if self.flags.terminate.get() => ws.terminate(engine),
                Some(code) => ws.close(engine, CloseCode::from(code)),
                None => ws.close(engine, CloseCode::NO_STATUS),
            }
        }
    }

    /// Delivers a message from the client.
    #[inline]
    fn deliver(&self, message: Message) {
        let delivered = catch(|| match self.protocol.get() {
            Some(protocol) => protocol.message(message),
            None => self.emit(Client::MESSAGE, message),
        });
        self.contain(delivered.err());
    }

    /// Emits an event of the client, and contains a panic of a listener.
    fn notify<P: Clone + 'static>(&self, event: Event<Client, P>, payload: P) {
        let emitted = catch(|| self.emit(event, payload));
        self.contain(emitted.err());
    }

    fn emit<P: Clone + 'static>(&self, event: Event<Client, P>, payload: P) {
        if let Some(client) = self.client() {
            emit(&client, event, payload);
        }
    }

    /// Handles a panic in a callback: aborts the session, and nothing else.
    fn contain(&self, panicked: Option<String>) {
        if let Some(message) = panicked {
            tracing::error!("a callback of an Engine.IO session panicked: {message}");
            self.abort(CloseReason::ForcedClose);
        }
    }

    /// Emits `drain` if it is pending and the queue is empty.
    fn drained(&self) {
        if !self.flags.drain.get() {
            return;
        }
        let is_drained = {
            let session = self.session();
            let empty = session.queued().0 == 0;
            empty && (session.transport() == Transport::Polling || session.is_direct())
        };
        if is_drained && !self.flags.acting.get() {
            self.flags.drain.set(false);
            let drained = catch(|| {
                if let Some(protocol) = self.protocol.get() {
                    protocol.drained();
                }
                self.emit(Client::DRAIN, ());
            });
            self.contain(drained.err());
        }
    }

    /// Sets the timer for the session's deadline, unless it already fires at or before the deadline.
    fn arm(&self) {
        let Some(due) = self.session().deadline() else {
            return self.disarm();
        };
        if self.timer.get().is_some_and(|(at, _)| at <= due) {
            return;
        }
        self.disarm();
        if let Some(client) = self.client() {
            let wait = due.saturating_duration_since(clock::current_time());
            let timer = add_timeout(wait, move || {
                if let Some(state) = client.state() {
                    state.expired();
                }
            });
            self.timer.set(Some((due, timer)));
        }
    }

    fn disarm(&self) {
        if let Some((_, timer)) = self.timer.take() {
            timer.cancel();
        }
    }

    fn expired(&self) {
        self.timer.set(None);
        // The deadline may have moved since the timer was set.
        let due = self.session().deadline();
        match due.is_some_and(|due| due <= clock::now()) {
            true => self.input(Input::Deadline),
            false => self.arm(),
        }
    }

    /// Ends the session.
    fn finish(&self, reason: CloseReason) {
        self.disarm();
        let engine = &self.mounted.engine;
        engine.remove(&self.sid);
        count(&engine.counts.closed);
        let requests = self.requests.take();
        drop(requests);
        let closed = catch(|| {
            if let Some(protocol) = self.protocol.get() {
                protocol.closed(reason);
            }
        });
        let emitted = catch(|| self.emit(Client::CLOSE, reason));
        let listeners = self.listeners.take();
        let dropped = catch(|| drop(listeners));
        for message in [closed.err(), emitted.err(), dropped.err()]
            .into_iter()
            .flatten()
        {
            tracing::error!(
                "a callback of an Engine.IO session panicked while the session closed: {message}"
            );
        }
        if let Some(id) = self.id.take() {
            clients::remove(id);
        }
        engine.session_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_idle_session_is_at_most_360_bytes() {
        let size = size_of::<ClientState>();
        assert!(size <= 360, "{size} bytes");
    }
}
