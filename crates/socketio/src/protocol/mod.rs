//! Engine.IO protocol 4 and Socket.IO protocol 5, without sockets, clocks or threads.
//!
//! [`engine`] holds the packets of Engine.IO and the payloads of HTTP long-polling, [`session`] the state machine of a session, and [`packet`] the packets of
//! Socket.IO, which travel in the messages of a session. [`Value`] is JSON that may hold bytes anywhere.

pub mod engine;
mod json;
#[cfg(feature = "msgpack")]
pub mod msgpack;
pub mod packet;
pub mod session;
mod value;

pub use value::{Number, Value};
