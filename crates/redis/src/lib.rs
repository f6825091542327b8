#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod commands;
mod convert;
mod error;
mod options;
pub mod protocol;
mod reply;
mod streams;
mod url;

pub use client::{Message, Reconnecting, Redis};
pub use commands::SetOptions;
pub use convert::FromValue;
pub use error::Error;
pub use options::{Protocol, RedisOptions};
pub use protocol::Value;
pub use reply::Reply;
pub use streams::{StreamEntry, XAddOptions, XRead};

/// The usual imports of a program with this crate: `use uptick_redis::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::run;

    pub use crate::{Error, FromValue, Message, Redis, RedisOptions, StreamEntry, Value, XRead};
}
