//! The state of a namespace.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use uptick_emitter::{Emitter, Event, Listeners, emit};
use uptick_event_loop::{Id, Table, Timer, add_timer, catch};

use super::connect::ConnectMiddleware;
use super::rooms::{Receiver, Rooms};
use super::{Namespace, RoomMember};
use crate::SocketId;
use crate::adapter::{Adapter, AdapterSink, Target};
use crate::cluster::PendingRequests;
use crate::listeners::NamedListeners;
use crate::recovery::Recovery;
use crate::server::ServerState;
use crate::socket::{AckContext, SocketState};

/// The state of a namespace. A namespace that represents the matches of a pattern has an empty name.
pub(crate) struct NamespaceState {
    pub(crate) name: Rc<str>,
    handle: Cell<Option<Id>>,
    server: Weak<ServerState>,
    /// The pattern from which the namespace was created.
    pub(super) pattern: Option<Rc<NamespaceState>>,
    /// `true` if the program created or requested the namespace, so that it is kept when it is empty.
    kept: Cell<bool>,
    pub(crate) listeners: RefCell<Listeners>,
    pub(crate) server_side: RefCell<NamedListeners<AckContext>>,
    middlewares: RefCell<Vec<ConnectMiddleware>>,
    pub(crate) rooms: RefCell<Rooms>,
    /// The timer that removes the namespace once no client can recover in it.
    removal: Cell<Option<Timer>>,
    /// The number of sockets whose middleware is running.
    pub(super) connecting: Cell<usize>,
    /// The number of sockets with listeners of sent events.
    pub(crate) outgoing_listeners: Cell<usize>,
    last_ack: Cell<u64>,
    pub(crate) adapter: RefCell<Option<Rc<dyn Adapter>>>,
    pub(super) requests: RefCell<PendingRequests>,
    pub(crate) recovery: Option<RefCell<Recovery>>,
    /// Set if recovery uses the log of the adapter.
    pub(super) uses_shared_log: Cell<bool>,
    /// The receivers of a broadcast. The list is kept here so that it is not allocated for each broadcast.
    receivers: RefCell<Vec<Receiver>>,
}

thread_local! {
    static NAMESPACES: RefCell<Table<Rc<NamespaceState>>> = const { RefCell::new(Table::new()) };
}

impl NamespaceState {
    pub(crate) fn new(
        server: &Rc<ServerState>,
        name: &str,
        pattern: Option<Rc<NamespaceState>>,
    ) -> Rc<NamespaceState> {
        let state = NamespaceState::create(server, name, pattern);
        let factory = server.adapter.clone();
        if let Some(factory) = factory {
            let adapter = factory(AdapterSink::new(state.handle()));
            let uses_shared_log = state.recovery.is_some() && adapter.has_log();
            state.uses_shared_log.set(uses_shared_log);
            state.adapter.replace(Some(adapter));
        }
        state
    }

    pub(crate) fn new_pattern(server: &Rc<ServerState>) -> Rc<NamespaceState> {
        NamespaceState::create(server, "", None)
    }

    fn create(
        server: &Rc<ServerState>,
        name: &str,
        pattern: Option<Rc<NamespaceState>>,
    ) -> Rc<NamespaceState> {
        let recovery = server.options.recovery.as_ref();
        let state = Rc::new(NamespaceState {
            name: name.into(),
            handle: Cell::new(None),
            server: Rc::downgrade(server),
            kept: Cell::new(pattern.is_none()),
            pattern,
            listeners: RefCell::new(Listeners::new()),
            server_side: RefCell::default(),
            middlewares: RefCell::default(),
            rooms: RefCell::default(),
            removal: Cell::new(None),
            connecting: Cell::new(0),
            outgoing_listeners: Cell::new(0),
            last_ack: Cell::new(0),
            adapter: RefCell::default(),
            requests: RefCell::default(),
            recovery: recovery.map(|options| RefCell::new(Recovery::new(options.clone()))),
            uses_shared_log: Cell::new(false),
            receivers: RefCell::default(),
        });
        let inserted = NAMESPACES.try_with(|all| all.borrow_mut().insert(Rc::clone(&state)));
        state.handle.set(inserted.ok().flatten());
        state
    }

    pub(crate) fn find(id: Id) -> Option<Rc<NamespaceState>> {
        let found =
            NAMESPACES.try_with(|all| all.borrow_mut().get_mut(id).map(|one| Rc::clone(one)));
        found.ok().flatten()
    }

    pub(crate) fn handle(&self) -> Namespace {
        Namespace::of_id(self.handle.get())
    }

    pub(crate) fn server(&self) -> Option<Rc<ServerState>> {
        self.server.upgrade()
    }

    /// Returns `true` if the namespace was created by a client.
    pub(crate) fn is_dynamic(&self) -> bool {
        !self.kept.get()
    }

    /// Changes the number of sockets with listeners of sent events.
    pub(crate) fn add_outgoing_listeners(&self, change: isize) {
        let count = self.outgoing_listeners.get();
        self.outgoing_listeners
            .set(count.saturating_add_signed(change));
    }

    /// Returns `true` if the namespace represents the matches of a pattern.
    pub(crate) fn is_pattern(&self) -> bool {
        self.name.is_empty()
    }

    pub(crate) fn is_child_of(&self, pattern: &Rc<NamespaceState>) -> bool {
        let own = self.pattern.as_ref();
        own.is_some_and(|own| Rc::ptr_eq(own, pattern))
    }

    /// Keeps the namespace even when it is empty.
    pub(crate) fn keep(&self) {
        self.kept.set(true);
    }

    pub(crate) fn wrap(&self, middleware: ConnectMiddleware) {
        self.middlewares.borrow_mut().push(middleware);
    }

    /// Returns the middleware, starting with the middleware of the pattern.
    pub(super) fn middlewares(&self) -> Vec<ConnectMiddleware> {
        let pattern = self.pattern.as_ref();
        let mut all = pattern.map_or_else(Vec::new, |pattern| pattern.middlewares());
        all.extend(self.middlewares.borrow().iter().cloned());
        all
    }

    /// Returns the id of the next event that requests an acknowledgement.
    pub(crate) fn next_ack(&self) -> u64 {
        let id = self.last_ack.get();
        self.last_ack.set(id + 1);
        id
    }

    pub(crate) fn local_sockets(&self) -> Vec<Rc<SocketState>> {
        let rooms = self.rooms.borrow();
        rooms.sockets().filter_map(SocketState::of).collect()
    }

    pub(crate) fn members(&self, room: &str) -> Vec<SocketId> {
        let target = Target {
            rooms: vec![room.to_owned()],
            except: Vec::new(),
        };
        let members = self.select_sockets(&target, None);
        members.iter().map(|socket| socket.id).collect()
    }

    /// Returns the sockets of this server that `target` selects.
    pub(crate) fn select_sockets(
        &self,
        target: &Target,
        except: Option<crate::Socket>,
    ) -> Vec<Rc<SocketState>> {
        let mut receivers = Vec::new();
        self.rooms.borrow().select(target, except, &mut receivers);
        let sockets = receivers.into_iter();
        sockets
            .filter_map(|(socket, _)| SocketState::of(socket))
            .collect()
    }

    /// Takes the list of receivers. [`put_receivers`](Self::put_receivers) returns it.
    pub(super) fn take_receivers(&self) -> Vec<Receiver> {
        let mut receivers = self.receivers.take();
        receivers.clear();
        receivers
    }

    pub(super) fn put_receivers(&self, receivers: Vec<Receiver>) {
        self.receivers.replace(receivers);
    }

    pub(crate) fn add_socket(&self, socket: &SocketState) {
        let mut rooms = self.rooms.borrow_mut();
        rooms.add_socket(socket.id, socket.handle(), socket.client);
    }

    /// Adds a socket to a room, and returns the shared name of the room.
    pub(crate) fn join(&self, socket: &SocketState, room: &str) -> Rc<str> {
        let joined = self
            .rooms
            .borrow_mut()
            .join(room, socket.handle(), socket.client);
        let (name, created) = joined;
        if created {
            if let Some(adapter) = self.adapter() {
                adapter.room_created(room);
            }
            self.emit_contained(Namespace::CREATE_ROOM, || room.to_owned());
        }
        self.emit_contained(Namespace::JOIN_ROOM, || RoomMember {
            room: room.to_owned(),
            id: socket.id,
        });
        name
    }

    pub(crate) fn leave(&self, socket: &SocketState, room: &str) {
        let deleted = self.rooms.borrow_mut().leave(room, socket.handle());
        self.emit_contained(Namespace::LEAVE_ROOM, || RoomMember {
            room: room.to_owned(),
            id: socket.id,
        });
        if deleted {
            self.room_deleted(room);
        }
    }

    pub(crate) fn room_deleted(&self, room: &str) {
        if let Some(adapter) = self.adapter() {
            adapter.room_deleted(room);
        }
        self.emit_contained(Namespace::DELETE_ROOM, || room.to_owned());
    }

    /// Removes a socket that has already left its rooms.
    pub(crate) fn remove_socket(&self, socket: &SocketState) {
        let mut rooms = self.rooms.borrow_mut();
        rooms.remove_socket(socket.id, socket.handle());
    }

    /// Removes the namespace if it was created by a client and is empty.
    pub(crate) fn remove_if_empty(&self) {
        let empty =
            !self.kept.get() && self.connecting.get() == 0 && self.rooms.borrow().is_empty();
        let retained = || {
            let recovery = self.recovery.as_ref();
            recovery.is_some_and(|recovery| recovery.borrow_mut().has_sessions())
        };
        if empty
            && !retained()
            && let Some(server) = self.server()
        {
            server.remove_namespace(self);
        }
    }

    /// Removes the namespace after `time` if it is still empty.
    pub(crate) fn remove_later(&self, time: Duration) {
        let namespace = self.handle();
        let timer = add_timer(time, move || {
            if let Some(namespace) = namespace.state() {
                namespace.remove_if_empty();
            }
        });
        if let Some(before) = self.removal.replace(Some(timer)) {
            before.cancel();
        }
    }

    /// Returns the adapter if recovery uses its log.
    pub(crate) fn shared_log(&self) -> Option<Rc<dyn Adapter>> {
        self.adapter().filter(|_| self.uses_shared_log.get())
    }

    pub(crate) fn adapter(&self) -> Option<Rc<dyn Adapter>> {
        self.adapter.borrow().clone()
    }

    /// Emits an event to the listeners of the pattern and of the namespace.
    pub(super) fn emit_to_both<P: Clone + 'static>(&self, event: Event<Namespace, P>, payload: P) {
        if let Some(pattern) = &self.pattern {
            emit(&pattern.handle(), event, payload.clone());
        }
        emit(&self.handle(), event, payload);
    }

    /// Emits an event that usually has no listener. A panic in a listener is logged and not propagated, because the socket is in the middle of a state change.
    fn emit_contained<P: Clone + 'static>(
        &self,
        event: Event<Namespace, P>,
        payload: impl Fn() -> P,
    ) {
        let pattern = self.pattern.as_ref().map(|pattern| pattern.handle());
        for emitter in pattern.into_iter().chain([self.handle()]) {
            if emitter.listeners(event).is_empty() {
                continue;
            }
            if let Err(message) = catch(|| emit(&emitter, event, payload())) {
                tracing::error!(
                    "a {:?} callback of a namespace panicked: {message}",
                    event.name()
                );
            }
        }
    }

    /// Drops everything that the program has registered, and makes handles stale.
    pub(crate) fn close(&self) {
        if let Some(adapter) = self.adapter.take() {
            adapter.close();
        }
        if let Some(timer) = self.removal.take() {
            timer.cancel();
        }
        let listeners = self.listeners.replace(Listeners::new());
        let server_side = self.server_side.take();
        let middlewares = self.middlewares.take();
        let requests = self.requests.take();
        if let Some(id) = self.handle.take() {
            let removed = NAMESPACES.try_with(|all| all.borrow_mut().remove(id));
            drop(removed);
        }
        requests.abandon();
        drop((listeners, server_side, middlewares));
    }
}
