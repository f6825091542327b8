//! The state of a socket, from CONNECT until it is disconnected.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use smallvec::SmallVec;
use uptick_event_loop::{Id, Table, catch};

use super::acks::PendingAcks;
use super::handshake::to_value;
use super::{AckContext, Socket};
use crate::adapter::RemoteSocket;
use crate::engine::Client;
use crate::error::{DisconnectReason, Refusal};
use crate::listeners::{NamedListeners, ReceivedEvent};
use crate::namespace::NamespaceState;
use crate::peer::Peer;
use crate::protocol::Value;
use crate::protocol::packet::{Arguments, Data, Encoded};
use crate::recovery::{ForeignOffset, RecoverableSession, Recovered};
use crate::{SocketId, listeners};

/// Middleware for received events: a function of the name and the arguments.
pub(super) type PacketMiddleware = Rc<dyn Fn(&str, &Arguments) -> Result<(), Refusal>>;

/// The state of a socket.
pub(crate) struct SocketState {
    pub(crate) id: SocketId,
    handle: Cell<Option<Id>>,
    pub(crate) client: Client,
    peer: Weak<Peer>,
    pub(crate) namespace: Rc<NamespaceState>,
    /// The authentication data of the client.
    pub(super) auth: Option<Box<Data>>,
    pub(crate) phase: Cell<SocketPhase>,
    pub(super) recovered: bool,
    /// Set while the socket is not in the room named after its id.
    left_own_room: Cell<bool>,
    /// The private id, if connection state recovery is enabled.
    pub(crate) pid: Option<Box<SocketId>>,
    rooms: RefCell<SmallVec<[Rc<str>; 1]>>,
    pub(super) listeners: RefCell<NamedListeners<AckContext>>,
    pub(super) optional: RefCell<Option<Box<OptionalState>>>,
}

/// The phases of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketPhase {
    /// The middleware is running.
    Connecting,
    Connected,
    /// The socket is leaving and is still in its rooms.
    Leaving,
    Disconnected,
}

/// The part of the state that only some sockets need.
#[derive(Default)]
pub(super) struct OptionalState {
    pub(super) data: Value,
    /// The offset with which the client came from another server.
    pub(super) foreign_offset: Option<ForeignOffset>,
    pub(super) acks: PendingAcks,
    pub(super) middlewares: Vec<PacketMiddleware>,
    pub(super) any: Rc<RefCell<NamedListeners<AckContext>>>,
    pub(super) outgoing: Rc<RefCell<NamedListeners<AckContext>>>,
}

thread_local! {
    static SOCKETS: RefCell<Table<Rc<SocketState>>> = const { RefCell::new(Table::new()) };
}

impl SocketState {
    pub(crate) fn create(
        peer: &Rc<Peer>,
        namespace: &Rc<NamespaceState>,
        auth: Option<Data>,
        recovered: Option<&Recovered>,
    ) -> Rc<SocketState> {
        let pid = namespace
            .recovery
            .as_ref()
            .map(|_| Box::new(recovered.map_or_else(SocketId::random, |recovered| recovered.pid)));
        let state = Rc::new(SocketState {
            id: recovered.map_or_else(SocketId::random, |recovered| recovered.id),
            handle: Cell::new(None),
            client: peer.client,
            peer: Rc::downgrade(peer),
            namespace: Rc::clone(namespace),
            auth: auth.map(Box::new),
            phase: Cell::new(SocketPhase::Connecting),
            recovered: recovered.is_some(),
            left_own_room: Cell::new(false),
            pid,
            rooms: RefCell::default(),
            listeners: RefCell::default(),
            optional: RefCell::default(),
        });
        let inserted = SOCKETS.try_with(|all| all.borrow_mut().insert(Rc::clone(&state)));
        state.handle.set(inserted.ok().flatten());
        if let Some(recovered) = recovered {
            state.with_optional(|optional| {
                optional.data = recovered.data.clone();
                optional.foreign_offset = recovered.foreign_offset.clone();
            });
        }
        state
    }

    pub(crate) fn of(socket: Socket) -> Option<Rc<SocketState>> {
        let id = socket.id?;
        let found = SOCKETS.try_with(|all| all.borrow_mut().get_mut(id).map(|one| Rc::clone(one)));
        found.ok().flatten()
    }

    pub(crate) fn handle(&self) -> Socket {
        Socket::of_id(self.handle.get())
    }

    pub(crate) fn is_connected(&self) -> bool {
        matches!(
            self.phase.get(),
            SocketPhase::Connected | SocketPhase::Leaving
        )
    }

    /// Calls `f` with the optional part of the state, and creates it if necessary. `f` must not call code of the program.
    pub(super) fn with_optional<R>(&self, f: impl FnOnce(&mut OptionalState) -> R) -> R {
        f(self.optional.borrow_mut().get_or_insert_default())
    }

    /// Calls `f` with the optional part of the state, if the socket has it.
    pub(super) fn if_optional<R>(&self, f: impl FnOnce(&mut OptionalState) -> R) -> Option<R> {
        self.optional.borrow_mut().as_deref_mut().map(f)
    }

    /// Joins a room. Returns `false` if the socket is not connected, or has reached the maximum number of rooms.
    pub(crate) fn join(&self, room: &str) -> bool {
        if !matches!(
            self.phase.get(),
            SocketPhase::Connecting | SocketPhase::Connected
        ) {
            return false;
        }
        if room == &*self.id {
            if self.left_own_room.replace(false) {
                let mut rooms = self.namespace.rooms.borrow_mut();
                rooms.join_own(self.id, self.handle());
            }
            return true;
        }
        if self.rooms.borrow().iter().any(|one| **one == *room) {
            return true;
        }
        let limit = self
            .namespace
            .server()
            .map_or(0, |server| server.options.max_rooms);
        if self.rooms.borrow().len() >= limit {
            tracing::warn!("joining the room {room:?} failed: the socket is in {limit} rooms");
            return false;
        }
        // The socket becomes a member of the room when it is connected.
        let name = match self.phase.get() {
            SocketPhase::Connecting => Rc::from(room),
            _ => self.namespace.join(self, room),
        };
        self.rooms.borrow_mut().push(name);
        true
    }

    /// Adds the connected socket to the rooms that it joined while middleware was running.
    pub(crate) fn enter_rooms(&self) {
        let early = self.rooms.take();
        for room in early {
            self.join(&room);
        }
    }

    pub(crate) fn leave(&self, room: &str) {
        if room == &*self.id {
            if self.is_connected() && !self.left_own_room.replace(true) {
                self.namespace.rooms.borrow_mut().leave_own(self.id);
            }
            return;
        }
        let mut rooms = self.rooms.borrow_mut();
        let at = rooms.iter().position(|one| **one == *room);
        let left = at.map(|at| rooms.remove(at));
        drop(rooms);
        if left.is_some() && self.is_connected() {
            self.namespace.leave(self, room);
        }
    }

    /// Returns the rooms, starting with the room named after the id.
    pub(crate) fn rooms(&self) -> Vec<Rc<str>> {
        let own = self.is_connected() && !self.left_own_room.get();
        let own = own.then(|| Rc::from(self.id.as_str()));
        own.into_iter()
            .chain(self.rooms.borrow().iter().cloned())
            .collect()
    }

    /// Discards a socket that was never connected.
    pub(crate) fn discard(&self) {
        self.phase.set(SocketPhase::Disconnected);
        self.unregister();
    }

    /// Disconnects the socket, and sends a DISCONNECT packet to the client.
    pub(crate) fn leave_namespace(&self, reason: DisconnectReason) {
        if self.phase.get() != SocketPhase::Connected {
            return;
        }
        let Some(server) = self.namespace.server() else {
            return;
        };
        match server.options.parser.disconnect(&self.namespace.name) {
            Ok(packet) => drop(self.client.send_packet(&packet)),
            Err(error) => tracing::error!("disconnecting a socket failed: {error}"),
        }
        self.disconnected(reason);
    }

    /// Disconnects all sockets of the client, and closes its connection.
    pub(crate) fn disconnect_client(&self) {
        let Some(peer) = self.peer.upgrade() else {
            return;
        };
        for socket in peer.sockets() {
            socket.leave_namespace(DisconnectReason::ServerNamespaceDisconnect);
        }
        self.client.close();
    }

    /// Disconnects the socket: emits `disconnecting`, leaves the rooms, and emits `disconnect`.
    pub(crate) fn disconnected(&self, reason: DisconnectReason) {
        match self.phase.get() {
            SocketPhase::Connected => {}
            SocketPhase::Connecting => return self.discard(),
            SocketPhase::Leaving | SocketPhase::Disconnected => return,
        }
        self.phase.set(SocketPhase::Leaving);
        self.emit_reserved("disconnecting", reason);
        self.keep_for_recovery(reason);
        for room in self.rooms.take() {
            self.namespace.leave(self, &room);
        }
        self.namespace.remove_socket(self);
        self.phase.set(SocketPhase::Disconnected);
        let acks = self
            .if_optional(|optional| optional.acks.take())
            .unwrap_or_default();
        acks.fail();
        self.emit_reserved("disconnect", reason);
        self.unregister();
        self.namespace.remove_if_empty();
    }

    /// Emits a reserved event whose argument is the reason.
    fn emit_reserved(&self, name: &str, reason: DisconnectReason) {
        if self.listeners.borrow().count(name) == 0 {
            return;
        }
        let arguments = Arguments::of_values(vec![Value::from(reason.name())]);
        if let Err(message) = catch(|| self.emit_local(name, &arguments)) {
            tracing::error!("a {name:?} callback of a socket panicked: {message}");
        }
    }

    /// Calls the listeners of an event that the client did not send. Returns `true` if there was one.
    pub(super) fn emit_local(&self, name: &str, arguments: &Arguments) -> bool {
        let received = ReceivedEvent {
            name,
            arguments,
            context: AckContext::None,
        };
        listeners::emit(&self.listeners, Some(name), &received)
    }

    fn keep_for_recovery(&self, reason: DisconnectReason) {
        let Some(pid) = &self.pid else { return };
        if !reason.is_recoverable() {
            return;
        }
        let rooms = self.rooms.borrow();
        let session = RecoverableSession {
            id: self.id,
            rooms: rooms.iter().map(|room| (**room).to_owned()).collect(),
            data: self.data(),
            at: std::time::Instant::now(),
            foreign_offset: self
                .if_optional(|optional| optional.foreign_offset.clone())
                .flatten(),
        };
        drop(rooms);
        self.namespace.keep_session(**pid, session);
    }

    pub(crate) fn data(&self) -> Value {
        self.if_optional(|optional| optional.data.clone())
            .unwrap_or_default()
    }

    /// Removes the socket from its client and from the table, and drops everything that the program has registered.
    fn unregister(&self) {
        if let Some(peer) = self.peer.upgrade() {
            peer.remove(self);
        }
        let removed = self
            .handle
            .get()
            .and_then(|id| SOCKETS.try_with(|all| all.borrow_mut().remove(id)).ok());
        let listeners = self.listeners.take();
        let optional = self.optional.take();
        if optional
            .as_ref()
            .is_some_and(|optional| !optional.outgoing.borrow().is_empty())
        {
            self.namespace.add_outgoing_listeners(-1);
        }
        if let Err(message) = catch(|| drop((removed, listeners, optional))) {
            tracing::error!("dropping a callback of a socket panicked: {message}");
        }
    }

    /// Calls the listeners of sent events.
    pub(crate) fn notify_outgoing(&self, packet: &Encoded) {
        let listeners = self.if_optional(|optional| Rc::clone(&optional.outgoing));
        let Some(listeners) = listeners.filter(|listeners| !listeners.borrow().is_empty()) else {
            return;
        };
        if let Some((name, arguments)) = crate::namespace::event_of(packet) {
            let sent = ReceivedEvent {
                name: &name,
                arguments: &arguments,
                context: AckContext::None,
            };
            listeners::emit(&listeners, None, &sent);
        }
    }

    pub(crate) fn drained(&self) {
        self.emit_local("drain", &Arguments::default());
    }

    /// Describes the socket for other servers.
    pub(crate) fn to_remote(&self) -> RemoteSocket {
        let auth = self.auth.as_ref().and_then(|auth| auth.parse().ok());
        let empty = || Value::Object(indexmap::IndexMap::new());
        let handshake = self
            .client
            .handshake()
            .map(|handshake| to_value(&handshake, auth.unwrap_or_else(empty)));
        let rooms = self.rooms();
        RemoteSocket {
            id: self.id.as_str().to_owned(),
            handshake: handshake.unwrap_or_default(),
            rooms: rooms.iter().map(|room| (**room).to_owned()).collect(),
            data: self.data(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_idle_socket_is_at_most_160_bytes() {
        let size = size_of::<SocketState>();
        assert!(size <= 160, "{size} bytes");
    }
}
