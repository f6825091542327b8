//! Engine.IO protocol 4 and Socket.IO protocol 5, without sockets, clocks or threads.
//!
//! [`engine`] contains Engine.IO packets and HTTP long-polling payloads, [`session`] the state machine of a session, and [`packet`] Socket.IO
//! packets, which are sent as the messages of a session. [`Value`] is a JSON value that may contain binary data anywhere.

pub mod engine;
pub(crate) mod json;
#[cfg(feature = "msgpack")]
pub mod msgpack;
pub mod packet;
pub mod session;
mod value;

pub use value::{Number, Value};
