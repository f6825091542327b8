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

pub use address::IntoAddress;
pub use error::Error;
pub use options::DatagramOptions;
pub use socket::{Counters, DatagramSocket};
