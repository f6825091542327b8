#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accept;
pub mod bus;
mod control;
mod error;
mod event;
mod master;
mod memory;
mod run_mode;
mod settings;
mod status;
mod tls;
mod worker;
mod workers;

/// The most used names: `use uptick_workers::prelude::*`.
///
/// It includes the prelude of `uptick-http`. `Error` is the error type of this crate; servers have
/// [`uptick_socket::Error`].
pub mod prelude {
    pub use uptick_http::prelude::*;

    pub use crate::bus::Bus;
    pub use crate::{Error, RunHttpServer, RunMode, Worker, WorkerEvent, Workers};
}

pub use error::Error;
pub use event::{WorkerEvent, WorkerExit, WorkerId};
pub use run_mode::{RunHttpServer, RunMode};
pub use status::{Status, Totals, WorkerStatus};
pub use worker::{Drain, Worker};
pub use workers::Workers;
