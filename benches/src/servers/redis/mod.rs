//! A Redis server, its clients, and Socket.IO servers in a cluster over it.
//!
//! The clients execute commands on request: `GET /MODE/COUNT` is answered when `COUNT` commands are complete. Half of them set a value of
//! 20 bytes, the others get it, and each value is compared with the one that was set.

pub(super) mod client;
pub(super) mod node_socketio;
pub(super) mod redis_rs;
pub(super) mod server;
pub(super) mod uptick_socketio;

use std::ffi::OsStr;

use anyhow::{Context as _, Result};

/// The body of a response when all commands are complete.
pub(crate) const DONE: &str = "done";

/// Commands in a pipeline, and concurrent tasks.
pub(crate) const PIPELINE: u64 = 50;

/// The order in which a client sends commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Each command after the reply to the previous one.
    Sequential,
    /// [`PIPELINE`] commands, and the next ones after all replies.
    Pipelined,
    /// [`PIPELINE`] tasks that share a connection, each sequentially.
    Concurrent,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Sequential, Self::Pipelined, Self::Concurrent];

    /// The path of a request without the count.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Pipelined => "pipelined",
            Self::Concurrent => "concurrent",
        }
    }

    fn by_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.path() == path)
    }
}

/// The URL of the Redis server, from the command line.
fn url(argument: Option<&OsStr>) -> Result<&str> {
    let url = argument.and_then(OsStr::to_str);
    url.context("the URL of a Redis server is missing")
}

/// The key of a pair of commands.
fn key(number: u64) -> String {
    format!("key:{:04}", number % 1000)
}

/// The value of a pair of commands, of 20 bytes.
fn value(number: u64) -> String {
    format!("{number:020}")
}
