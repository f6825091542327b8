//! Sockets: clients in a namespace.
//!
//! ```text
//! receiving ─→ state ←─ sending      events from the client · events to the client
//!                ↓
//!              acks                  acknowledgements in both directions
//! ```

mod acks;
mod emission;
mod handshake;
mod receiving;
mod sending;
mod state;

pub use acks::Ack;
pub(crate) use acks::{AckContext, PendingAck};
pub use emission::Emission;
pub(crate) use state::{SocketPhase, SocketState};

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};
use uptick_websocket::Sent;

use crate::engine::{Client, Handshake};
use crate::error::{AckError, Refusal};
use crate::listeners::{EventListenerId, ListenerPosition, ReceivedEvent};
use crate::protocol::Value;
use crate::protocol::packet::{Arguments, EncodeError};
use crate::protocol::session::Transport;
use crate::{Broadcast, FromArguments, Namespace, Promise, SocketId, ToArguments};

/// A client in a namespace.
///
/// This is a `Copy` handle; a handle whose socket is disconnected does nothing. Listeners of one socket run in the order in which its events arrive.
///
/// # Events
/// Events have the names that clients send. In addition, a socket emits the following events, which clients cannot send:
///
/// | event | payload | when |
/// |---|---|---|
/// | `disconnecting` | [`DisconnectReason`](crate::DisconnectReason), or `String` | the socket is leaving the namespace and is still in its rooms |
/// | `disconnect` | [`DisconnectReason`](crate::DisconnectReason), or `String` | the socket has left the namespace; this is its last event |
/// | `drain` | `()` | all queued packets are sent, after [`emit`](Socket::emit) returned [`Sent::Buffered`] |
/// | `error` | [`Refusal`] | an event was dropped: [middleware](Socket::wrap) refused it, or its arguments do not fit the listener |
///
/// # Examples
///
/// ```
/// use uptick_socketio::{Ack, DisconnectReason, Socket};
///
/// fn serve(socket: Socket) {
///     socket.on("join", move |room: String| socket.join(room));
///     socket.on("say", move |(room, text): (String, String)| socket.to(room).emit("said", &text));
///     socket.on_ack("rooms", move |(), ack: Ack| ack.send(&socket.rooms()));
///     socket.on("disconnect", move |reason: DisconnectReason| println!("{}: {reason}", socket.id()));
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Socket {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

impl Socket {
    pub(crate) fn of_id(id: Option<Id>) -> Socket {
        Socket {
            id,
            local: PhantomData,
        }
    }

    fn state(self) -> Option<Rc<SocketState>> {
        SocketState::of(self)
    }

    /// Returns the id, which is not a secret. After `disconnect`, it is an id that belongs to no socket.
    pub fn id(self) -> SocketId {
        self.state().map_or(SocketId::NONE, |state| state.id)
    }

    /// Returns the namespace.
    pub fn namespace(self) -> Namespace {
        self.state()
            .map_or(Namespace::STALE, |state| state.namespace.handle())
    }

    /// Returns the client. Its connection is shared by its sockets in other namespaces.
    pub fn client(self) -> Option<Client> {
        Some(self.state()?.client)
    }

    /// Returns `true` if the socket is connected. It is not connected while middleware runs.
    pub fn is_connected(self) -> bool {
        self.state().is_some_and(|state| state.is_connected())
    }

    /// Returns `true` if the client reconnected after a short disconnection and recovered its id, rooms and data
    /// ([`recovery`](crate::SocketIoOptions::recovery)).
    pub fn is_recovered(self) -> bool {
        self.state().is_some_and(|state| state.recovered)
    }

    /// Returns the current transport of the client.
    pub fn transport(self) -> Option<Transport> {
        self.state()?.client.transport()
    }

    /// Returns the first request of the client: its headers, address and query.
    pub fn handshake(self) -> Option<Rc<Handshake>> {
        self.state()?.client.handshake()
    }

    /// Parses the authentication data that the client sent for this namespace (`auth` in the official client); `{}` if it sent none.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if the data does not fit the type.
    pub fn auth<T: DeserializeOwned>(self) -> Result<T, serde_json::Error> {
        match self
            .state()
            .as_deref()
            .and_then(|state| state.auth.as_ref())
        {
            Some(auth) => auth.parse(),
            None => serde_json::from_str("{}"),
        }
    }

    /// Attaches a value to the socket, replacing the previous one. [`fetch_sockets`](Broadcast::fetch_sockets) returns it, also on other servers, and a recovered
    /// socket keeps it. Default: null.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if the value cannot be serialized.
    pub fn set_data<T: Serialize + ?Sized>(self, data: &T) -> Result<(), EncodeError> {
        let mut data = Value::of(data)?;
        if let Some(state) = self.state() {
            state.with_optional(|optional| std::mem::swap(&mut optional.data, &mut data));
        }
        Ok(())
    }

    /// Returns the attached value; `None` if it does not fit the type.
    pub fn data<T: for<'de> Deserialize<'de>>(self) -> Option<T> {
        T::deserialize(self.state()?.data()).ok()
    }

    /// Calls `callback` with the arguments of each event of the given name.
    ///
    /// If the arguments do not fit the type, the event `error` is emitted and the callback is not called. See [`FromArguments`].
    pub fn on<T: FromArguments, R>(
        self,
        event: &str,
        mut callback: impl FnMut(T) -> R + 'static,
    ) -> EventListenerId {
        self.add(event, false, move |arguments, _| {
            callback(arguments);
        })
    }

    /// Calls `callback` with the arguments of the next event of the given name.
    pub fn once<T: FromArguments, R>(
        self,
        event: &str,
        mut callback: impl FnMut(T) -> R + 'static,
    ) -> EventListenerId {
        self.add(event, true, move |arguments, _| {
            callback(arguments);
        })
    }

    /// Calls `callback` with the arguments and the acknowledgement of the next event of the given name.
    pub fn once_ack<T: FromArguments, R>(
        self,
        event: &str,
        mut callback: impl FnMut(T, Ack) -> R + 'static,
    ) -> EventListenerId {
        self.add(event, true, move |arguments, context| {
            callback(arguments, Ack::of(context));
        })
    }

    /// Calls `callback` with the arguments and the acknowledgement of each event of the given name.
    pub fn on_ack<T: FromArguments, R>(
        self,
        event: &str,
        mut callback: impl FnMut(T, Ack) -> R + 'static,
    ) -> EventListenerId {
        self.add(event, false, move |arguments, context| {
            callback(arguments, Ack::of(context));
        })
    }

    fn add<T: FromArguments>(
        self,
        event: &str,
        once: bool,
        mut callback: impl FnMut(T, AckContext) + 'static,
    ) -> EventListenerId {
        let Some(state) = self.state() else {
            return EventListenerId::NONE;
        };
        let listener = move |received: &ReceivedEvent<'_, AckContext>| match T::from_arguments(
            received.arguments,
        ) {
            Ok(arguments) => callback(arguments, received.context.clone()),
            Err(error) => self.refuse_arguments(received.name, &error),
        };
        let mut listeners = state.listeners.borrow_mut();
        listeners.add(Some(event), ListenerPosition::Last, once, listener)
    }

    #[cold]
    fn refuse_arguments(self, event: &str, error: &serde_json::Error) {
        if event == "error" {
            return;
        }
        if let Some(state) = self.state() {
            let message = format!("parsing the arguments of the event {event:?} failed: {error}");
            let refusal = Refusal::new(message);
            state.report(Value::of(&refusal).unwrap_or_default(), &refusal);
        }
    }

    /// Calls `callback` with the name and the arguments of each event that the client sends, before any other listeners.
    pub fn on_any<R>(
        self,
        callback: impl FnMut(&str, &Arguments) -> R + 'static,
    ) -> EventListenerId {
        self.add_any(ListenerPosition::Last, callback)
    }

    /// Calls `callback` like [`on_any`](Socket::on_any), but before the listeners that are already registered.
    pub fn prepend_any<R>(
        self,
        callback: impl FnMut(&str, &Arguments) -> R + 'static,
    ) -> EventListenerId {
        self.add_any(ListenerPosition::First, callback)
    }

    fn add_any<R>(
        self,
        place: ListenerPosition,
        mut callback: impl FnMut(&str, &Arguments) -> R + 'static,
    ) -> EventListenerId {
        let Some(state) = self.state() else {
            return EventListenerId::NONE;
        };
        let any = state.with_optional(|optional| Rc::clone(&optional.any));
        let mut any = any.borrow_mut();
        any.add(None, place, false, move |received| {
            callback(received.name, received.arguments);
        })
    }

    /// Calls `callback` with the name and the arguments of each event that is sent to the client, including broadcasts but not acknowledgements.
    pub fn on_any_outgoing<R>(
        self,
        mut callback: impl FnMut(&str, &Arguments) -> R + 'static,
    ) -> EventListenerId {
        let Some(state) = self.state() else {
            return EventListenerId::NONE;
        };
        let outgoing = state.with_optional(|optional| Rc::clone(&optional.outgoing));
        let mut outgoing = outgoing.borrow_mut();
        if outgoing.is_empty() {
            state.namespace.add_outgoing_listeners(1);
        }
        outgoing.add(None, ListenerPosition::Last, false, move |sent| {
            callback(sent.name, sent.arguments);
        })
    }

    /// Removes a listener added by [`on`](Socket::on), [`once`](Socket::once), [`on_ack`](Socket::on_ack) or [`once_ack`](Socket::once_ack). Returns `false` if there is none with this id.
    pub fn off(self, id: EventListenerId) -> bool {
        let Some(state) = self.state() else {
            return false;
        };
        let removed = state.listeners.borrow_mut().remove(id);
        removed.is_some()
    }

    /// Removes all listeners of an event.
    pub fn remove_listeners(self, event: &str) {
        if let Some(state) = self.state() {
            let removed = state.listeners.borrow_mut().remove_named(event);
            drop(removed);
        }
    }

    /// Removes a listener added by [`on_any`](Socket::on_any) or [`prepend_any`](Socket::prepend_any). Returns `false` if there is none with this id.
    pub fn off_any(self, id: EventListenerId) -> bool {
        let state = self.state();
        let any = state.and_then(|state| state.if_optional(|optional| Rc::clone(&optional.any)));
        let removed = any.map(|any| any.borrow_mut().remove(id));
        removed.flatten().is_some()
    }

    /// Removes a listener added by [`on_any_outgoing`](Socket::on_any_outgoing). Returns `false` if there is none with this id.
    pub fn off_any_outgoing(self, id: EventListenerId) -> bool {
        let Some(state) = self.state() else {
            return false;
        };
        let Some(outgoing) = state.if_optional(|optional| Rc::clone(&optional.outgoing)) else {
            return false;
        };
        let removed = outgoing.borrow_mut().remove(id);
        let is_last = removed.is_some() && outgoing.borrow().is_empty();
        if is_last {
            state.namespace.add_outgoing_listeners(-1);
        }
        removed.is_some()
    }

    /// Adds middleware for received events: a function of the name and the arguments that accepts or refuses an event before its listeners run. The event `error`
    /// reports refusals; a refused event is not acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::{Refusal, Socket};
    ///
    /// fn protect(socket: Socket) {
    ///     socket.wrap(|event, arguments| match event {
    ///         "upload" if arguments.len() != 1 => Err(Refusal::new("one file at a time")),
    ///         _ => Ok(()),
    ///     });
    ///     socket.on("error", move |refusal: Refusal| socket.emit("refused", refusal.message()));
    /// }
    /// ```
    pub fn wrap(self, middleware: impl Fn(&str, &Arguments) -> Result<(), Refusal> + 'static) {
        if let Some(state) = self.state() {
            state.with_optional(|optional| optional.middlewares.push(Rc::new(middleware)));
        }
    }

    /// Sends an event to the client. A tuple is sent as several arguments, any other value as one; see [`ToArguments`].
    ///
    /// [`Sent::Buffered`] means that the client reads more slowly than the server sends: `drain` follows. [`Sent::Dropped`] means that the socket is disconnected, the
    /// queue is full ([`EngineOptions::slow_policy`](crate::engine::EngineOptions::slow_policy)), or the arguments cannot be encoded, which is logged.
    pub fn emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) -> Sent {
        let state = self.state();
        state.map_or(Sent::Dropped, |state| state.emit(event, arguments, false))
    }

    /// Sends the event `message`.
    pub fn send<A: ToArguments + ?Sized>(self, arguments: &A) -> Sent {
        self.emit("message", arguments)
    }

    /// Sends an event, and returns the acknowledgement of the client.
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if the client does not acknowledge in time ([`timeout`](Socket::timeout)), disconnects, or sends arguments that do not fit the type.
    ///
    /// # Limits
    ///
    /// [`SocketIoOptions::max_pending_acks`](crate::SocketIoOptions::max_pending_acks).
    pub fn emit_with_ack<T: FromArguments + 'static, A: ToArguments + ?Sized>(
        self,
        event: &str,
        arguments: &A,
    ) -> Promise<Result<T, AckError>> {
        Emission::of(self).emit_with_ack(event, arguments)
    }

    /// Returns an emission that is dropped if it cannot be written immediately, because the client is slow or has no pending poll.
    pub fn volatile(self) -> Emission {
        Emission::of(self).volatile()
    }

    /// Returns an emission with another timeout for the acknowledgement. Default: [`SocketIoOptions::ack_timeout`](crate::SocketIoOptions::ack_timeout).
    pub fn timeout(self, timeout: Duration) -> Emission {
        Emission::of(self).timeout(timeout)
    }

    /// Addresses all other sockets of the namespace.
    pub fn broadcast(self) -> Broadcast {
        Broadcast::from_socket(self)
    }

    /// Addresses the other sockets in a room. [`Broadcast::to`] adds further rooms.
    pub fn to(self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Addresses all other sockets that are not in a room.
    pub fn except(self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// Joins a room. If middleware is still running, the socket becomes a member when it is connected. Returns `false` if the socket is disconnected, or has reached the
    /// maximum number of rooms ([`SocketIoOptions::max_rooms`](crate::SocketIoOptions::max_rooms)).
    pub fn join(self, room: impl AsRef<str>) -> bool {
        self.state().is_some_and(|state| state.join(room.as_ref()))
    }

    /// Leaves a room.
    pub fn leave(self, room: impl AsRef<str>) {
        if let Some(state) = self.state() {
            state.leave(room.as_ref());
        }
    }

    /// Returns the rooms of the socket. The first is the room named after its id.
    pub fn rooms(self) -> Vec<Rc<str>> {
        self.state().map_or_else(Vec::new, |state| state.rooms())
    }

    /// Disconnects the socket from its namespace. The client does not reconnect automatically.
    pub fn disconnect(self) {
        if let Some(state) = self.state() {
            state.leave_namespace(crate::DisconnectReason::ServerNamespaceDisconnect);
        }
    }

    /// Disconnects all sockets of the client, and closes its connection.
    pub fn disconnect_client(self) {
        if let Some(state) = self.state() {
            state.disconnect_client();
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket").field(&self.id()).finish()
    }
}
