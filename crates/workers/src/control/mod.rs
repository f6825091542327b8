//! Messages between a master and its workers.
//!
//! Between processes, each [`Message`] is one packet on a Unix socket, with its descriptors as ancillary data. Worker threads
//! receive the same messages from a queue.

mod channel;
mod inbox;
mod message;

pub(crate) use channel::Channel;
pub(crate) use inbox::Inbox;
pub(crate) use message::{DrainCause, Message, Start};
