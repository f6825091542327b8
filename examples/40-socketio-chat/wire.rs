//! The arguments of the events.
//!
//! | the page sends | the server acknowledges |
//! |---|---|
//! | `join` [`Join`] | [`Answer`] of [`Joined`] |
//! | `say` [`Say`] | [`Answer`] of the number of the message |
//! | `typing` | |
//! | `leave` | |
//!
//! | the server sends | when |
//! |---|---|
//! | `said` room, [`ChatMessage`] | a message was accepted |
//! | `people` room, names | the people in the room have changed |
//! | `rooms` [`RoomLine`]s | the list of rooms has changed |
//! | `typing` room, name | |
//! | `replaced` | another connection of the same page has joined; this one is closed |
//! | `dismissed` reason | the page has sent too much, or an invalid event; this connection is closed |

use serde::{Deserialize, Serialize};

use super::validation::Refusal;

#[derive(Deserialize)]
pub(crate) struct Join {
    pub(crate) name: String,
    pub(crate) room: String,
    /// A secret of the page. With it, the page takes its name back from its own broken connection.
    pub(crate) token: String,
    /// The number of the last message that the page has.
    pub(crate) since: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct Say {
    pub(crate) text: String,
    /// A random number by which the page recognizes its own message, and the server a repeated one.
    #[serde(rename = "ref")]
    pub(crate) reference: u64,
}

/// A message of a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatMessage {
    /// The number of the message, which orders it: the time in milliseconds, followed by 10 bits of the
    /// worker.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) text: String,
    #[serde(rename = "ref")]
    pub(crate) reference: u64,
}

#[derive(Serialize)]
pub(crate) struct Joined {
    pub(crate) name: String,
    pub(crate) room: String,
    pub(crate) people: Vec<String>,
    pub(crate) rooms: Vec<RoomLine>,
    /// The messages that the page does not have, and possibly some that it has.
    pub(crate) messages: Vec<ChatMessage>,
    /// `true` if older messages that the page does not have are no longer kept.
    pub(crate) gap: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RoomLine {
    pub(crate) name: String,
    pub(crate) people: usize,
}

/// The data of a socket that is in a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) room: String,
    pub(crate) token: String,
}

/// An acknowledgement.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer<T> {
    Done(T),
    Refused { code: &'static str, text: String },
}

impl<T> From<Result<T, Refusal>> for Answer<T> {
    fn from(result: Result<T, Refusal>) -> Answer<T> {
        match result {
            Ok(done) => Answer::Done(done),
            Err(Refusal { code, text }) => Answer::Refused { code, text },
        }
    }
}
