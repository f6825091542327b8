//! Adapters: how the namespaces of several servers become one.
//!
//! A namespace knows its own sockets and rooms. An [`Adapter`] carries [messages](ClusterMessage) to the namespaces of the same name on other servers, and theirs to
//! the namespace by an [`AdapterSink`]. Without one, a namespace is that of this server.
//!
//! ```text
//! namespace ─→ Adapter::publish ─→ (bus, Redis) ─→ AdapterSink::message ─→ namespace of another server
//!           ←─ AdapterSink::response ←─────────── Adapter::respond ←─
//! ```

#[cfg(feature = "workers")]
pub mod bus;
mod message;

#[cfg(feature = "workers")]
pub use bus::BusAdapter;
pub use message::{ClusterMessage, ClusterResponse, RemoteSession, RemoteSocket, Target};

use std::fmt;
use std::rc::Rc;

use crate::{Namespace, Promise};

/// Carries the messages of a namespace to other servers.
///
/// No method waits for anything, or calls the namespace before it returns.
///
/// # Contract
///
/// - A message reaches each other server that has the namespace once, or not at all if the server is cut off. Messages of one server arrive in the order in which
///   they were published.
/// - A server never receives its own messages: the namespace applies them itself.
/// - A broadcast to rooms may be kept from servers that do not have any of the rooms, and do not [need all](AdapterSink::needs_all_rooms).
/// - Responses reach the server that has asked, in order.
pub trait Adapter {
    /// Sends a message without a request id to the other servers.
    fn publish(&self, message: &ClusterMessage);

    /// Sends a message with a request id to the other servers. Returns those that will respond to it.
    fn request(&self, message: &ClusterMessage) -> Promise<Servers>;

    /// Sends a response to the server `to`, from which a message with a request id was received.
    fn respond(&self, to: &str, response: &ClusterResponse);

    /// Called when a room of this server gets its first socket. The rooms that are named by the ids of sockets are not reported. Default: does nothing.
    fn room_created(&self, room: &str) {
        let _ = room;
    }

    /// Called when the last socket of this server has left a room. Default: does nothing.
    fn room_deleted(&self, room: &str) {
        let _ = room;
    }

    /// Leaves the other servers. The last call.
    fn close(&self);
}

/// The servers that will respond to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Their ids, by which the [`AdapterSink`] learns of their responses, and that they have [gone](AdapterSink::server_gone).
    Known(Vec<String>),
    /// Their number. All responses count, whatever id they are from.
    Count(usize),
}

/// Creates the adapter of a namespace.
pub type AdapterFactory = Rc<dyn Fn(AdapterSink) -> Rc<dyn Adapter>>;

/// Passes what an [`Adapter`] receives to its namespace.
///
/// It does nothing when the namespace is gone.
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

    /// Returns whether the namespace needs all messages to rooms, also to those without sockets here: it keeps them for clients that may come back
    /// ([`recovery`](crate::SocketIoOptions::recovery)).
    pub fn needs_all_rooms(self) -> bool {
        self.namespace
            .state()
            .is_some_and(|state| state.recovery.is_some())
    }

    /// Passes a message of another server to the namespace.
    pub fn message(self, from: &str, message: ClusterMessage) {
        self.namespace.receive(from, message);
    }

    /// Passes a response of another server to the namespace.
    pub fn response(self, from: &str, response: ClusterResponse) {
        self.namespace.receive_response(from, response);
    }

    /// Reports that another server has gone: nothing waits for its responses any more.
    pub fn server_gone(self, server: &str) {
        self.namespace.server_gone(server);
    }
}

impl fmt::Debug for AdapterSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdapterSink").field(&self.namespace).finish()
    }
}
