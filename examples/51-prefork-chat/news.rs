//! What workers tell each other on the bus: a JSON object in each message.

use serde::{Deserialize, Serialize};

use super::wire::Said;

/// The topic of all workers. That of one is below it: `chat/7`.
pub(crate) const ALL: &str = "chat";

/// A WebSocket of a worker, by its number there.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Seat {
    /// The worker's id on the bus.
    pub(crate) worker: u64,
    pub(crate) socket: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum News {
    /// Someone is in a room now, and no more in the one before.
    Joined(Arrival),
    /// Someone is in no room any more.
    Left {
        seat: Seat,
    },
    Typing {
        seat: Seat,
    },
    Said {
        room: String,
        /// When the room was made.
        epoch: u64,
        said: Said,
    },
    /// A worker asks another one for what it knows: first for its people and the first room, then for the room after another one.
    Ask {
        worker: u64,
        after: Option<String>,
    },
    /// A room, for the one that asked.
    Room {
        worker: u64,
        room: String,
        epoch: u64,
        /// The highest number of the messages that are remembered no more.
        forgotten: u64,
        messages: Vec<Said>,
    },
    /// There are no further rooms.
    End {
        worker: u64,
    },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Arrival {
    pub(crate) seat: Seat,
    /// When it joined, by the clock of its worker.
    pub(crate) stamp: u64,
    pub(crate) room: String,
    pub(crate) epoch: u64,
    pub(crate) name: String,
    pub(crate) token: String,
}

impl News {
    pub(crate) fn to_json(&self) -> String {
        // It fails for maps whose keys are no strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The topic of one worker.
pub(crate) fn topic_of(worker: u64) -> String {
    format!("{ALL}/{worker}")
}
