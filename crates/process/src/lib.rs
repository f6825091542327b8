#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod exit;
mod options;
mod process;
mod watch;

pub use error::Error;
pub use exit::Exit;
pub use options::{ProcessOptions, Stdio};
pub use process::Process;
pub use uptick_event_loop::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

/// The signal that terminates a process immediately and cannot be caught.
pub const SIGKILL: i32 = 9;

/// The usual imports of a program with this crate: `use uptick_process::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use std::process::Command;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::run;
    pub use uptick_stream::{LineStream, ReadableStream, WritableStream};

    pub use crate::{Error, Exit, Process, ProcessOptions, SIGKILL, SIGTERM, Stdio};
}
