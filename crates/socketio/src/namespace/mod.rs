//! Namespaces.
//!
//! ```text
//! connect ──→ state ←── delivery ←── cluster      joining clients · broadcasts to sockets of this server · messages from other servers
//!               ↓
//!             rooms                               sockets and the rooms that they are in
//! ```

mod cluster;
mod connect;
mod delivery;
mod rooms;
mod state;

pub(crate) use connect::connect;
pub use connect::{ConnectMiddleware, IntoConnectMiddleware, Verdict};
pub(crate) use delivery::{BroadcastFlags, event_of, with_except};
pub(crate) use state::NamespaceState;

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use smallvec::SmallVec;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use crate::adapter::{ClusterMessage, ClusterResponse};
use crate::cluster::joined;
use crate::error::Incomplete;
use crate::listeners::{EventListenerId, ListenerPosition};
use crate::{
    Ack, Broadcast, FromArguments, Promise, RemoteSocket, Socket, SocketId, SocketIo, ToArguments,
};

/// A namespace: a group of sockets that are addressed together. The namespaces of a client share one connection.
///
/// This is a `Copy` handle, returned by [`SocketIo::of`] and [`SocketIo::of_dynamic`].
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `connection` | [`Socket`] | a client joined the namespace |
/// | `create-room` | [`String`] | the first socket of this server joined a room |
/// | `delete-room` | [`String`] | the last socket of this server left a room |
/// | `join-room` | [`RoomMember`] | a socket joined a room |
/// | `leave-room` | [`RoomMember`] | a socket left a room |
///
/// The room of each socket that has its id as name is not reported.
///
/// # Examples
///
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_socketio::{Socket, SocketIo};
///
/// let io = SocketIo::new();
/// let admin = io.of("/admin");
/// admin.on("connection", move |socket: Socket| {
///     admin.to("lobby").emit("joined", socket.id().as_str());
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Namespace {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// A room, and a socket that joined or left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMember {
    /// The name of the room.
    pub room: String,
    /// The id of the socket.
    pub id: SocketId,
}

events! {
    impl Namespace {
        Socket => {
            /// A client joined the namespace.
            CONNECTION = "connection";
        }
        String => {
            /// The first socket joined a room.
            CREATE_ROOM = "create-room";
            /// The last socket left a room.
            DELETE_ROOM = "delete-room";
        }
        RoomMember => {
            /// A socket joined a room.
            JOIN_ROOM = "join-room";
            /// A socket left a room.
            LEAVE_ROOM = "leave-room";
        }
    }
}

impl Emitter for Namespace {
    type Events = Namespace;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        let state = self.state()?;
        let mut listeners = state.listeners.borrow_mut();
        Some(f(&mut listeners))
    }
}

impl Namespace {
    /// A handle that refers to no namespace.
    pub(crate) const STALE: Namespace = Namespace::of_id(None);

    pub(crate) const fn of_id(id: Option<Id>) -> Namespace {
        Namespace {
            id,
            local: PhantomData,
        }
    }

    pub(crate) fn state(self) -> Option<Rc<NamespaceState>> {
        NamespaceState::find(self.id?)
    }

    /// Returns the namespace, or all matching namespaces if this is a pattern.
    pub(crate) fn states(self) -> SmallVec<[Rc<NamespaceState>; 1]> {
        let Some(state) = self.state() else {
            return SmallVec::new();
        };
        match state.is_pattern() {
            true => {
                let children = state.server().map(|server| server.children(&state));
                children.unwrap_or_default().into()
            }
            false => SmallVec::from_iter([state]),
        }
    }

    /// Returns the name, with its leading slash. Empty if the namespace was removed, or if it represents the matches of a pattern.
    pub fn name(self) -> Rc<str> {
        self.state()
            .map_or_else(|| Rc::from(""), |state| Rc::clone(&state.name))
    }

    /// Returns the server.
    pub fn server(self) -> Option<SocketIo> {
        Some(self.state()?.server()?.handle())
    }

    /// Adds middleware: a function that is called with each socket before it is connected, and accepts or refuses it. Middleware runs in the order of registration.
    ///
    /// It returns `Result<(), Refusal>`, or a future of it. The client of a refused socket receives `connect_error`.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::{Refusal, Socket, SocketIo};
    ///
    /// let io = SocketIo::new();
    /// io.wrap(|socket: Socket| match socket.auth::<serde_json::Value>() {
    ///     Ok(auth) if auth["token"] == "secret" => Ok(()),
    ///     _ => Err(Refusal::new("not authorized").with_data(&401)),
    /// });
    /// io.of("/admin").wrap(|_: Socket| async {
    ///     // Look the client up in a database.
    ///     Ok::<(), Refusal>(())
    /// });
    /// ```
    pub fn wrap<M>(self, middleware: impl IntoConnectMiddleware<M>) -> Self {
        if let Some(state) = self.state() {
            state.wrap(middleware.into_connect_middleware());
        }
        self
    }

    /// Addresses all sockets of the namespace.
    pub fn broadcast(self) -> Broadcast {
        Broadcast::of_namespace(self)
    }

    /// Addresses the sockets in a room. [`Broadcast::to`] adds further rooms; a socket that is in several of them receives an event once.
    pub fn to(self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Addresses the sockets that are not in a room.
    pub fn except(self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// Sends an event to all sockets of the namespace, including those on other servers. Returns the number of sockets of this server.
    pub fn emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) -> usize {
        self.broadcast().emit(event, arguments)
    }

    /// Returns the sockets of this server, in no particular order.
    pub fn sockets(self) -> Vec<Socket> {
        let states = self.states();
        let sockets = states.iter().flat_map(|state| state.local_sockets());
        sockets.map(|socket| socket.handle()).collect()
    }

    /// Returns the socket of this server with an id.
    pub fn socket(self, id: &str) -> Option<Socket> {
        let states = self.states();
        states
            .iter()
            .find_map(|state| state.rooms.borrow().socket(id))
    }

    /// Returns the ids of the sockets of this server in a room.
    pub fn members(self, room: &str) -> Vec<SocketId> {
        let states = self.states();
        states
            .iter()
            .flat_map(|state| state.members(room))
            .collect()
    }

    /// Returns the rooms of this server, except those named after socket ids.
    pub fn rooms(self) -> Vec<Rc<str>> {
        let states = self.states();
        let rooms = states.iter().flat_map(|state| state.rooms.borrow().names());
        rooms.collect()
    }

    /// Returns all sockets, including those on other servers.
    ///
    /// # Errors
    /// Returns [`Incomplete`] with the known sockets if a server does not respond within [`request_timeout`](crate::SocketIoOptions::request_timeout).
    pub fn fetch_sockets(self) -> Promise<Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> {
        self.broadcast().fetch_sockets()
    }

    /// Emits an event to the listeners of the namespace on all other servers.
    pub fn server_side_emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) {
        for state in self.states() {
            state.server_side_emit(event, arguments);
        }
    }

    /// Emits an event to the listeners of the namespace on all other servers, and returns the first argument of each acknowledgement.
    ///
    /// # Errors
    /// Returns [`Incomplete`] with the received acknowledgements if a server does not acknowledge within [`request_timeout`](crate::SocketIoOptions::request_timeout).
    pub fn server_side_emit_with_ack<T: FromArguments + 'static, A: ToArguments + ?Sized>(
        self,
        event: &str,
        arguments: &A,
    ) -> Promise<Result<Vec<T>, Incomplete<T>>> {
        let states = self.states();
        joined(
            states
                .iter()
                .map(|state| state.server_side_emit_with_ack(event, arguments)),
        )
    }

    /// Calls `callback` with each event of the given name that another server emits with [`server_side_emit`](Namespace::server_side_emit).
    pub fn on_server_side<T: FromArguments, R>(
        self,
        event: &str,
        mut callback: impl FnMut(T, Ack) -> R + 'static,
    ) -> EventListenerId {
        let Some(state) = self.state() else {
            return EventListenerId::NONE;
        };
        let name = event.to_owned();
        let mut listeners = state.server_side.borrow_mut();
        listeners.add(Some(event), ListenerPosition::Last, false, move |received| {
            match T::from_arguments(received.arguments) {
                Ok(arguments) => drop(callback(arguments, Ack::of(received.context.clone()))),
                Err(error) => {
                    tracing::warn!("parsing the arguments of the event {name:?} from another server failed: {error}");
                }
            }
        })
    }

    /// Removes a listener added by [`on_server_side`](Namespace::on_server_side). Returns `false` if there is none with this id.
    pub fn off_server_side(self, id: EventListenerId) -> bool {
        let Some(state) = self.state() else {
            return false;
        };
        let removed = state.server_side.borrow_mut().remove(id);
        removed.is_some()
    }

    pub(crate) fn receive(self, from: &str, message: ClusterMessage) {
        if let Some(state) = self.state() {
            state.receive(from, message);
        }
    }

    pub(crate) fn receive_response(self, from: &str, response: ClusterResponse) {
        if let Some(state) = self.state() {
            state.receive_response(from, response);
        }
    }

    pub(crate) fn server_left(self, server: &str) {
        if let Some(state) = self.state() {
            state.server_left(server);
        }
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.name()).finish()
    }
}
