//! The error type of the crate.

use std::io;
use std::sync::Arc;

use uptick_event_loop::errno;

/// An error of a child process.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process could not be started.
    #[error("starting {program} failed: {}", errno::describe(.source))]
    Spawn {
        /// The name of the program.
        program: Arc<str>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A pipe of the process could not be made a stream; the process was killed.
    #[error("starting {program} failed: {source}")]
    Stream {
        /// The name of the program.
        program: Arc<str>,
        /// The error of the stream.
        source: uptick_stream::Error,
    },
    /// The exit of processes cannot be watched; no process was started.
    #[error("starting {program} failed: {source}")]
    Signal {
        /// The name of the program.
        program: Arc<str>,
        /// The reason why `SIGCHLD` cannot be listened for.
        source: uptick_event_loop::Error,
    },
    /// The exit status could not be collected, for example because another part of the program has already collected it (`ECHILD`).
    #[error("waiting for process {pid} failed: {}", errno::describe(.source))]
    Wait {
        /// The process ID.
        pid: u32,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A signal could not be sent.
    #[error("sending signal {signal} failed: {}", errno::describe(.source))]
    Kill {
        /// The signal.
        signal: i32,
        /// The cause: `ESRCH` if the process has exited, `EINVAL` if there is no such signal.
        source: Arc<io::Error>,
    },
    /// A callback of the process panicked; the process keeps running.
    #[error("a callback panicked: {message}")]
    Panic {
        /// The message of the panic.
        message: Arc<str>,
    },
}

impl Error {
    /// Returns the underlying error of the operating system, if there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Spawn { source, .. }
            | Error::Wait { source, .. }
            | Error::Kill { source, .. } => Some(source),
            Error::Stream { source, .. } => source.io_error(),
            Error::Signal { .. } | Error::Panic { .. } => None,
        }
    }
}
