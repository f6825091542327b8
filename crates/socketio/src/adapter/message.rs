//! The messages between servers.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::Value;
use crate::protocol::packet::Encoded;

/// The sockets that a message is for: those in any of the rooms, without those in any of the excepted rooms. Without rooms, all sockets of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The rooms; the id of a socket is a room, too.
    pub rooms: Vec<String>,
    /// The excepted rooms.
    pub except: Vec<String>,
}

/// A message to the namespaces of other servers.
///
/// A request id is chosen by the server that asks, and unique for it.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterMessage {
    /// Send an event to sockets. With a request id, each client's acknowledgement is a [`ClusterResponse::Ack`], and the number of clients a
    /// [`ClusterResponse::ClientCount`], at once.
    Broadcast {
        /// The packet, as JSON with attachments.
        packet: Encoded,
        /// The sockets.
        target: Target,
        /// Whether it may be dropped for slow clients.
        volatile: bool,
        /// The request id, if acknowledgements are wanted.
        request: Option<String>,
        /// The timeout of acknowledgements in milliseconds.
        timeout: Option<u64>,
    },
    /// Let sockets join rooms.
    SocketsJoin {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Let sockets leave rooms.
    SocketsLeave {
        /// The sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Disconnect sockets.
    DisconnectSockets {
        /// The sockets.
        target: Target,
        /// Whether their connections are closed.
        close: bool,
    },
    /// List sockets, in a [`ClusterResponse::Sockets`].
    FetchSockets {
        /// The sockets.
        target: Target,
        /// The request id.
        request: String,
    },
    /// Hand over the state of a client that has come back to another server, if it is kept here, in a [`ClusterResponse::Session`].
    RestoreSession {
        /// The private id of the client.
        pid: String,
        /// The offset of the last event that it has received.
        offset: String,
        /// The request id.
        request: String,
    },
    /// Emit an event to the listeners of the namespace itself. With a request id, its acknowledgement is a [`ClusterResponse::ServerSideAck`].
    ServerSideEmit {
        /// The packet, as JSON with attachments.
        packet: Encoded,
        /// The request id, if an acknowledgement is wanted.
        request: Option<String>,
    },
}

/// A response to a [`ClusterMessage`].
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterResponse {
    /// The number of clients of the responding server that a broadcast was sent to.
    ClientCount {
        /// The request id.
        request: String,
        /// The number.
        count: usize,
    },
    /// The acknowledgement of one client: its first argument.
    Ack {
        /// The request id.
        request: String,
        /// The argument.
        value: Value,
    },
    /// The sockets of the responding server.
    Sockets {
        /// The request id.
        request: String,
        /// The sockets.
        sockets: Vec<RemoteSocket>,
    },
    /// The state of a client, if the responding server has kept it.
    Session {
        /// The request id.
        request: String,
        /// The state.
        session: Option<RemoteSession>,
    },
    /// The acknowledgement of a server: its first argument.
    ServerSideAck {
        /// The request id.
        request: String,
        /// The argument.
        value: Value,
    },
}

impl ClusterResponse {
    /// Returns the id of the request.
    pub fn request(&self) -> &str {
        match self {
            ClusterResponse::ClientCount { request, .. }
            | ClusterResponse::Ack { request, .. }
            | ClusterResponse::Sockets { request, .. }
            | ClusterResponse::Session { request, .. }
            | ClusterResponse::ServerSideAck { request, .. } => request,
        }
    }
}

/// The state of a client that was disconnected from another server.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSession {
    /// The id of its socket.
    pub id: String,
    /// The rooms, without that of its id.
    pub rooms: Vec<String>,
    /// The data.
    pub data: Value,
    /// The events that it has missed, as JSON without offsets.
    pub missed: Vec<Encoded>,
}

/// A socket of this or another server, as [`fetch_sockets`](crate::Broadcast::fetch_sockets) returns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteSocket {
    /// The id.
    pub id: String,
    /// The handshake, with the keys `headers`, `time`, `address`, `xdomain`, `secure`, `issued`, `url`, `query` and `auth`.
    pub handshake: Value,
    /// The rooms, with that of its id.
    pub rooms: Vec<String>,
    /// The data of [`Socket::set_data`](crate::Socket::set_data).
    pub data: Value,
}

impl RemoteSocket {
    /// Returns the data of the socket as a type; `None` if it does not fit.
    pub fn parse_data<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self.data.clone()).ok()
    }
}
