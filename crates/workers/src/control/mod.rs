//! Messages between a master and its workers.
//!
//! Between processes, each [`ControlMessage`] is one packet on a Unix socket, with its descriptors as ancillary data. Worker threads
//! receive the same messages from a queue.

mod channel;
mod inbox;
mod message;

pub(crate) use channel::ControlChannel;
pub(crate) use inbox::ThreadInbox;
pub(crate) use message::{ControlMessage, DrainCause, StartParameters};
