//! Adapters, which connect the namespaces of several servers.
//!
//! A namespace knows its own sockets and rooms. An [`Adapter`] sends [messages](ClusterMessage) to the namespaces of the same name on other servers, and passes
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
pub use message::{ClusterMessage, ClusterResponse, RemoteSession, RemoteSocket, Target};
#[cfg(feature = "redis")]
pub use redis::{RedisAdapter, RedisEmitter, ShardedRedisAdapter};

use std::fmt;
use std::rc::Rc;

use crate::{Namespace, Promise};

/// Exchanges messages of a namespace with other servers.
///
/// No method blocks, or calls the namespace before it returns.
///
/// # Contract
///
/// - A message reaches each other server that has the namespace once, or not at all if the server is disconnected. Messages of one server arrive in the order in
///   which they were published.
/// - A server never receives its own messages: the namespace applies them itself.
/// - A broadcast to rooms need not be sent to servers that have none of the rooms and do not [need all](AdapterSink::needs_all_rooms).
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

    /// Leaves the cluster. No other method is called afterwards.
    fn close(&self);
}

/// The servers that will respond to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// The ids of the servers. The [`AdapterSink`] receives their responses, and [`server_gone`](AdapterSink::server_gone) for servers that left.
    Known(Vec<String>),
    /// The number of servers. All responses count, regardless of the id of the server.
    Count(usize),
    /// The servers cannot be determined. The request ends as incomplete, without waiting for their responses.
    Unknown,
}

/// Creates the adapter of a namespace.
pub type AdapterFactory = Rc<dyn Fn(AdapterSink) -> Rc<dyn Adapter>>;

/// Passes messages received by an [`Adapter`] to its namespace.
///
/// It does nothing once the namespace is gone.
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
    pub(crate) fn room_retention(self) -> Option<std::time::Duration> {
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

    /// Passes a response from another server to the namespace.
    pub fn response(self, from: &str, response: ClusterResponse) {
        self.namespace.receive_response(from, response);
    }

    /// Reports that another server is gone. Pending requests no longer wait for its responses.
    pub fn server_gone(self, server: &str) {
        self.namespace.server_gone(server);
    }
}

impl fmt::Debug for AdapterSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdapterSink").field(&self.namespace).finish()
    }
}
