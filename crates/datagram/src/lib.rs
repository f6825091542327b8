#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod driver;
mod error;
mod io;
mod options;
mod queue;
mod socket;
mod sockets;

/// The names that most programs with this crate need: `use uptick_datagram::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::run;

    pub use crate::{DatagramOptions, DatagramSocket, Error};
}

pub use address::IntoAddress;
pub use error::Error;
pub use options::DatagramOptions;
pub use socket::{Counters, DatagramSocket};
