//! Adapters, which connect the namespaces of several servers.
//!
//! A namespace manages the sockets and rooms of its own server. An [`Adapter`] sends [messages](ClusterMessage) to the namespaces of the same name on other servers, and passes
//! their messages to the namespace through an [`AdapterSink`]. Without an adapter, a namespace is limited to one server.
//!
//! ```text
//! namespace ─→ Adapter::publish ─→ (bus, Redis) ─→ AdapterSink::message ─→ namespace of another server
//!           ←─ AdapterSink::response ←─────────── Adapter::respond ←─
//! ```

#[cfg(feature = "workers")]
pub mod bus;
mod message;
#[cfg(feature = "redis")]
pub mod redis;

#[cfg(feature = "workers")]
pub use bus::BusAdapter;
pub use message::{
    ClusterMessage, ClusterResponse, RemoteSession, RemoteSocket, RestoredSession, SavedSession,
    Target,
};
#[cfg(feature = "redis")]
pub use redis::{RedisAdapter, RedisEmitter, RedisStreamsAdapter, ShardedRedisAdapter};

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::protocol::packet::Encoded;
use crate::{Namespace, Promise};

/// The connection between a namespace and the namespaces of the same name on other servers.
///
/// No method blocks. A method does not call the namespace before it returns.
///
/// # Contract
///
/// - A message reaches each other server that has the namespace once, or not at all if the server is disconnected. Messages of one server arrive in the order in
///   which they were published.
/// - A server never receives its own messages: the namespace applies them itself.
/// - A broadcast to rooms need not be sent to servers that have none of the rooms and do not [need all rooms](AdapterSink::needs_all_rooms).
/// - Responses reach the requesting server, in order.
pub trait Adapter {
    /// Sends a message without a request id to the other servers.
    fn publish(&self, message: &ClusterMessage);

    /// Sends a message with a request id to the other servers. Returns the servers that will respond to it.
    fn request(&self, message: &ClusterMessage) -> Promise<Servers>;

    /// Sends a response to the server `to`, from which a message with a request id was received.
    fn respond(&self, to: &str, response: &ClusterResponse);

    /// Called when the first socket of this server joins a room. Rooms named after socket ids are not reported. Default: does nothing.
    fn room_created(&self, room: &str) {
        let _ = room;
    }

    /// Called when the last socket of this server leaves a room. Default: does nothing.
    fn room_deleted(&self, room: &str) {
        let _ = room;
    }

    /// Returns `true` if the adapter keeps a log of all broadcasts of the cluster, and the state of disconnected clients, so that a client can reconnect to any
    /// server. While [recovery](crate::SocketIoOptions::recovery) is enabled, the namespace then sends recoverable events with [`append`](Adapter::append), and uses
    /// [`save_session`](Adapter::save_session) and [`restore_session`](Adapter::restore_session). Default: false.
    fn has_log(&self) -> bool {
        false
    }

    /// Adds a broadcast to the log. All servers, including this one, receive it with [`AdapterSink::logged`], in the order of the log. The result is `false` if the
    /// broadcast was not added. Default: false.
    fn append(&self, message: &ClusterMessage) -> Promise<bool> {
        let _ = message;
        Promise::ready(false)
    }

    /// Stores the state of a disconnected client for `time`. Default: does nothing.
    fn save_session(&self, session: SavedSession, time: Duration) {
        let _ = (session, time);
    }

    /// Removes and returns the state of a client that reconnected, and the events that it missed. The missed events end with the last one that was passed to
    /// [`AdapterSink::logged`] when the promise is resolved. Default: none.
    fn restore_session(&self, pid: &str, offset: &str) -> Promise<Option<RestoredSession>> {
        let _ = (pid, offset);
        Promise::ready(None)
    }

    /// Leaves the cluster. No other method is called afterwards.
    fn close(&self);
}

/// The servers that will respond to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// The ids of the servers. The [`AdapterSink`] receives their responses, and [`server_left`](AdapterSink::server_left) for servers that left.
    Known(Vec<String>),
    /// The number of servers. All responses count, regardless of the id of the server.
    Count(usize),
    /// The servers cannot be determined. The request ends as incomplete, without waiting for their responses.
    Unknown,
}

/// A function that creates the adapter of a namespace.
pub type AdapterFactory = Rc<dyn Fn(AdapterSink) -> Rc<dyn Adapter>>;

/// The handle with which an [`Adapter`] passes received messages to its namespace.
///
/// Its methods do nothing once the namespace was removed.
#[derive(Clone, Copy)]
pub struct AdapterSink {
    namespace: Namespace,
}

impl AdapterSink {
    pub(crate) fn new(namespace: Namespace) -> AdapterSink {
        AdapterSink { namespace }
    }

    /// Returns the namespace.
    pub fn namespace(self) -> Namespace {
        self.namespace
    }

    /// Returns `true` if the namespace needs all messages to rooms, including rooms without sockets on this server, because it keeps them for clients that may
    /// reconnect ([`recovery`](crate::SocketIoOptions::recovery)).
    pub fn needs_all_rooms(self) -> bool {
        self.namespace
            .state()
            .is_some_and(|state| state.recovery.is_some())
    }

    /// Returns the time for which the namespace needs messages to a room after its last socket has left, for clients that may reconnect; `None` without recovery.
    #[cfg(feature = "redis")]
    pub(crate) fn room_retention(self) -> Option<Duration> {
        let state = self.namespace.state()?;
        let recovery = state.recovery.as_ref()?;
        Some(recovery.borrow().retention())
    }

    /// Returns `true` if a socket of this server is in the room. The id of a socket is also the name of a room.
    pub fn has_room(self, room: &str) -> bool {
        self.namespace
            .state()
            .is_some_and(|state| state.rooms.borrow().contains(room))
    }

    /// Passes a message from another server to the namespace.
    pub fn message(self, from: &str, message: ClusterMessage) {
        self.namespace.receive(from, message);
    }

    /// Passes a broadcast of the [log](Adapter::has_log) to the namespace. Clients receive `offset` after the arguments of the event.
    pub fn logged(self, packet: Encoded, target: &Target, offset: &str) {
        if let Some(state) = self.namespace.state() {
            state.deliver_logged(packet, target, offset);
        }
    }

    /// Passes a response from another server to the namespace.
    pub fn response(self, from: &str, response: ClusterResponse) {
        self.namespace.receive_response(from, response);
    }

    /// Reports that another server left the cluster. Pending requests no longer wait for its responses.
    pub fn server_left(self, server: &str) {
        self.namespace.server_left(server);
    }
}

impl fmt::Debug for AdapterSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdapterSink").field(&self.namespace).finish()
    }
}
