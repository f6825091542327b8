//! The arguments of the commands.

use std::time::Duration;

use serde::Deserialize;
use uptick::socketio::{Arguments, Broadcast, Value};

/// One room, or a list of rooms.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Rooms {
    One(String),
    Many(Vec<String>),
}

impl Rooms {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Rooms::One(room) => vec![room],
            Rooms::Many(rooms) => rooms,
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    #[default]
    Nsp,
    Socket,
}

#[derive(Deserialize)]
pub(crate) struct Cast {
    #[serde(default)]
    pub(crate) to: Vec<String>,
    #[serde(default)]
    pub(crate) except: Vec<String>,
    #[serde(default)]
    pub(crate) scope: Scope,
    #[serde(default)]
    pub(crate) volatile: bool,
    #[serde(default)]
    pub(crate) local: bool,
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) args: Vec<Value>,
}

#[derive(Deserialize)]
pub(crate) struct CastAck {
    #[serde(default)]
    pub(crate) to: Vec<String>,
    pub(crate) timeout: u64,
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) args: Vec<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Remote {
    #[serde(rename = "in")]
    pub(crate) members_of: String,
    pub(crate) op: RemoteOperation,
    #[serde(default)]
    pub(crate) room: String,
    #[serde(default)]
    pub(crate) close: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RemoteOperation {
    Join,
    Leave,
    Kick,
}

#[derive(Deserialize)]
#[serde(tag = "op")]
pub(crate) enum Cluster {
    #[serde(rename = "fetch")]
    Fetch {
        #[serde(rename = "in", default)]
        rooms: Vec<String>,
        #[serde(default)]
        except: Vec<String>,
        #[serde(default)]
        local: bool,
    },
    #[serde(rename = "sse")]
    Emit {
        #[serde(default)]
        args: Vec<Value>,
    },
    #[serde(rename = "sse-ack")]
    EmitWithAck {
        #[serde(default)]
        args: Vec<Value>,
    },
}

/// Adds the target rooms and the excluded rooms.
pub(crate) fn in_rooms(mut target: Broadcast, to: &[String], except: &[String]) -> Broadcast {
    for room in to {
        target = target.to(room);
    }
    for room in except {
        target = target.except(room);
    }
    target
}

/// Separates the first argument, a time in milliseconds, from the others.
pub(crate) fn split_time(arguments: &Arguments) -> Option<(Duration, Arguments)> {
    let time = arguments.parse(0).ok()?;
    let mut rest = arguments.to_values().ok()?;
    rest.remove(0);
    Some((Duration::from_millis(time), Arguments::of_values(rest)))
}
