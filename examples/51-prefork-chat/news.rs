//! The messages between workers on the bus: one JSON object each.

use serde::{Deserialize, Serialize};

use super::wire::ChatMessage;

/// The topic of all workers. Each worker also has its own topic, such as `chat/7`.
pub(crate) const ALL: &str = "chat";

/// The identity of a WebSocket among all workers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct SocketId {
    /// The worker's id on the bus.
    pub(crate) worker: u64,
    /// The id of the WebSocket in its worker.
    pub(crate) socket: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum News {
    /// A person has joined a room, and left the room before.
    Joined(JoinedMember),
    /// A person has left.
    Left {
        socket_id: SocketId,
    },
    Typing {
        socket_id: SocketId,
    },
    ChatMessage {
        room: String,
        /// The creation time of the room.
        epoch: u64,
        said: ChatMessage,
    },
    /// Requests the state of another worker: its people and the first room, or the room that follows `after`.
    Ask {
        worker: u64,
        after: Option<String>,
    },
    /// The response: the history of a room.
    Room {
        worker: u64,
        room: String,
        epoch: u64,
        /// The highest number of the messages that the history no longer has.
        forgotten: u64,
        messages: Vec<ChatMessage>,
    },
    /// The response when no room follows.
    End {
        worker: u64,
    },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct JoinedMember {
    pub(crate) socket_id: SocketId,
    /// The time of joining, by the clock of the worker.
    pub(crate) stamp: u64,
    pub(crate) room: String,
    pub(crate) epoch: u64,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl News {
    pub(crate) fn to_json(&self) -> String {
        // Serialization fails only for maps whose keys are not strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Returns the topic of one worker.
pub(crate) fn topic_of(worker: u64) -> String {
    format!("{ALL}/{worker}")
}
