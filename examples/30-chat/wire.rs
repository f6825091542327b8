//! The messages between the page and the server: one JSON object each.

use serde::{Deserialize, Serialize};

/// A request of a page.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum PageRequest {
    /// Join a room, and leave the previous one.
    Join(Join),
    Say {
        text: String,
        /// A random number by which the page recognizes its own message.
        #[serde(rename = "ref")]
        reference: u64,
    },
    Typing,
    Leave,
    /// Check whether the server responds.
    Ping,
}

impl PageRequest {
    /// Returns the reference of the message to send.
    pub(crate) fn reference(&self) -> Option<u64> {
        match self {
            PageRequest::Say { reference, .. } => Some(*reference),
            PageRequest::Join(_) | PageRequest::Typing | PageRequest::Leave | PageRequest::Ping => {
                None
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Join {
    pub(crate) name: String,
    pub(crate) room: String,
    /// A secret of the page. With it, the page takes its name back from its own broken connection.
    pub(crate) token: String,
    /// The last message that the page has seen.
    pub(crate) seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) id: u64,
}

/// A message of the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum ServerMessage<'a> {
    Welcome {
        name: &'a str,
        room: &'a str,
        /// The epoch of the room, in which the message numbers are valid.
        epoch: u64,
        members: Vec<&'a str>,
        rooms: Vec<RoomLine<'a>>,
        /// The messages that the page has not seen.
        messages: Vec<&'a ChatMessage>,
        /// `true` if the messages continue those that the page has seen.
        resumed: bool,
        /// `true` if messages that the page has not seen are no longer kept.
        gap: bool,
    },
    Message {
        room: &'a str,
        #[serde(flatten)]
        said: &'a ChatMessage,
    },
    Joined {
        room: &'a str,
        name: &'a str,
    },
    Left {
        room: &'a str,
        name: &'a str,
    },
    Typing {
        room: &'a str,
        name: &'a str,
    },
    Rooms {
        rooms: Vec<RoomLine<'a>>,
    },
    /// The response to a ping.
    Pong,
    /// A request was refused.
    Refused {
        code: &'a str,
        text: &'a str,
        /// The reference of the refused message.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
    },
}

impl ServerMessage<'_> {
    pub(crate) fn to_json(&self) -> String {
        // Serialization fails only for maps whose keys are not strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) members: usize,
    /// Time of the last message, in milliseconds since 1970; 0 if there is none.
    pub(crate) last: u64,
}

/// A message of a room.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ChatMessage {
    /// The number of the message, counted from 1 within an epoch.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) text: String,
    /// The time in milliseconds since 1970.
    pub(crate) time: u64,
    #[serde(rename = "ref")]
    pub(crate) reference: u64,
}
