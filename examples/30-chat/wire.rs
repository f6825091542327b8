//! What the page and the server say to each other: a JSON object in each message.

use serde::{Deserialize, Serialize};

/// What a page asks for.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// To be in a room, and in no other.
    Join(Join),
    Say {
        text: String,
        /// A number that the page has drawn, by which it finds its own message among those that come.
        #[serde(rename = "ref")]
        reference: u64,
    },
    Typing,
    Leave,
    /// Whether the server is still there.
    Ping,
}

impl Ask {
    /// The number of the message that is to be said.
    pub(crate) fn reference(&self) -> Option<u64> {
        match self {
            Ask::Say { reference, .. } => Some(*reference),
            Ask::Join(_) | Ask::Typing | Ask::Leave | Ask::Ping => None,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Join {
    pub(crate) name: String,
    pub(crate) room: String,
    /// What only this page knows: with it, it takes its name back from a connection of its own that has broken.
    pub(crate) token: String,
    /// What it has seen already.
    pub(crate) seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) epoch: u64,
    pub(crate) id: u64,
}

/// What the server tells.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Tell<'a> {
    Welcome {
        name: &'a str,
        room: &'a str,
        /// Messages are numbered anew with each epoch of a room.
        epoch: u64,
        members: Vec<&'a str>,
        rooms: Vec<RoomLine<'a>>,
        /// Those that the page has not seen.
        messages: Vec<&'a Said>,
        /// Whether they follow what it has seen.
        resumed: bool,
        /// Whether messages that it has not seen are no longer kept.
        gap: bool,
    },
    Message {
        room: &'a str,
        #[serde(flatten)]
        said: &'a Said,
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
    /// The answer to a ping.
    Pong,
    /// Something was not done.
    Refused {
        code: &'a str,
        text: &'a str,
        /// The message that was not taken.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<u64>,
    },
}

impl Tell<'_> {
    pub(crate) fn to_json(&self) -> String {
        // It fails for maps whose keys are no strings, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) members: usize,
    /// When something was said last, in milliseconds since 1970; 0 if nothing was.
    pub(crate) last: u64,
}

/// A message of a room.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Said {
    /// They count up from 1 within an epoch.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) text: String,
    /// In milliseconds since 1970.
    pub(crate) time: u64,
    #[serde(rename = "ref")]
    pub(crate) reference: u64,
}
