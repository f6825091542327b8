//! Messages between servers.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::Value;
use crate::protocol::packet::Encoded;

/// A selection of sockets: members of any of the rooms, without members of any of the excepted rooms. Without rooms, all sockets of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The rooms. The id of a socket is also the name of a room.
    pub rooms: Vec<String>,
    /// The excepted rooms.
    pub except: Vec<String>,
}

/// A message to the namespaces of other servers.
///
/// Request ids are chosen by the requesting server and are unique for it.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterMessage {
    /// Sends an event to sockets. With a request id, the receiving server immediately responds with a [`ClusterResponse::ClientCount`], and later with a
    /// [`ClusterResponse::Ack`] for each client that acknowledges.
    Broadcast {
        /// The packet, as JSON with attachments.
        packet: Encoded,
        /// The selected sockets.
        target: Target,
        /// `true` if the event may be dropped for slow clients.
        volatile: bool,
        /// The request id, if acknowledgements are requested.
        request: Option<String>,
        /// The timeout of acknowledgements in milliseconds.
        timeout: Option<u64>,
    },
    /// Adds sockets to rooms.
    SocketsJoin {
        /// The selected sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Removes sockets from rooms.
    SocketsLeave {
        /// The selected sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Disconnects sockets.
    DisconnectSockets {
        /// The selected sockets.
        target: Target,
        /// `true` if the connections of their clients are also closed.
        close: bool,
    },
    /// Requests a list of sockets. The response is [`ClusterResponse::Sockets`].
    FetchSockets {
        /// The selected sockets.
        target: Target,
        /// The request id.
        request: String,
    },
    /// Requests the state of a client that reconnected to another server. The response is [`ClusterResponse::Session`].
    RestoreSession {
        /// The private id of the client.
        pid: String,
        /// The offset of the last event that the client received.
        offset: String,
        /// The request id.
        request: String,
    },
    /// Emits an event to the listeners of the namespace on the server. With a request id, the response is [`ClusterResponse::ServerSideAck`].
    ServerSideEmit {
        /// The packet, as JSON with attachments.
        packet: Encoded,
        /// The request id, if an acknowledgement is requested.
        request: Option<String>,
    },
}

/// A response to a [`ClusterMessage`].
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterResponse {
    /// The number of clients of the responding server to which a broadcast was sent.
    ClientCount {
        /// The request id.
        request: String,
        /// The number of clients.
        count: usize,
    },
    /// The acknowledgement of one client.
    Ack {
        /// The request id.
        request: String,
        /// The first argument of the acknowledgement.
        value: Value,
    },
    /// The sockets of the responding server.
    Sockets {
        /// The request id.
        request: String,
        /// The sockets.
        sockets: Vec<RemoteSocket>,
    },
    /// The state of a client, if the responding server has it.
    Session {
        /// The request id.
        request: String,
        /// The state, or `None` if the server does not have it.
        session: Option<RemoteSession>,
    },
    /// The acknowledgement of a server.
    ServerSideAck {
        /// The request id.
        request: String,
        /// The first argument of the acknowledgement.
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
    /// The id of the socket.
    pub id: String,
    /// The rooms, without the room named after the id.
    pub rooms: Vec<String>,
    /// The data of the socket.
    pub data: Value,
    /// The missed events, as JSON without offsets.
    pub missed: Vec<Encoded>,
}

/// The state of a disconnected client that an adapter [with a log](crate::adapter::Adapter::has_log) stores.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedSession {
    /// The id of the socket.
    pub id: String,
    /// The private id of the client.
    pub pid: String,
    /// The rooms, without the room named after the id.
    pub rooms: Vec<String>,
    /// The data of the socket.
    pub data: Value,
}

impl SavedSession {
    /// Returns `true` if `target` selects the socket.
    pub fn is_selected_by(&self, target: &Target) -> bool {
        let is_in = |room: &String| *room == self.id || self.rooms.contains(room);
        (target.rooms.is_empty() || target.rooms.iter().any(is_in))
            && !target.except.iter().any(is_in)
    }
}

/// The state of a client that reconnected, from an adapter [with a log](crate::adapter::Adapter::has_log).
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredSession {
    /// The stored state.
    pub session: SavedSession,
    /// The missed events, as JSON with their offsets.
    pub missed: Vec<Encoded>,
    /// `true` if the state is known to be of this namespace. Otherwise, the middleware of the namespace is not skipped.
    pub is_verified: bool,
}

/// A socket of this or another server, returned by [`fetch_sockets`](crate::Broadcast::fetch_sockets).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteSocket {
    /// The id.
    pub id: String,
    /// The handshake, with the keys `headers`, `time`, `address`, `xdomain`, `secure`, `issued`, `url`, `query` and `auth`.
    pub handshake: Value,
    /// The rooms, including the room named after the id.
    pub rooms: Vec<String>,
    /// The data set by [`Socket::set_data`](crate::Socket::set_data).
    pub data: Value,
}

impl RemoteSocket {
    /// Parses the data of the socket; `None` if it does not fit the type.
    pub fn parse_data<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self.data.clone()).ok()
    }
}
