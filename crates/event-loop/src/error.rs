//! The crate's error.

use std::io;
use std::sync::Arc;

use crate::errno;

/// Errors of the event loop.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `run` was called from a callback of the running loop.
    #[error("running the event loop failed: it is already running")]
    AlreadyRunning,
    /// This thread already has a loop.
    #[error("installing an event loop failed: this thread already has one")]
    AlreadyInstalled,
    /// The poller failed.
    #[error("{what} failed: {}", errno::describe(.source))]
    Poll {
        /// The operation that failed.
        what: &'static str,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A descriptor cannot be watched.
    #[error("watching file descriptor {fd} failed: {}", errno::describe(.source))]
    Watch {
        /// The descriptor.
        fd: i32,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The descriptor is already watched in the same direction.
    #[error("watching file descriptor {fd} failed: it is already watched (EEXIST)")]
    AlreadyWatched {
        /// The descriptor.
        fd: i32,
    },
    /// A signal cannot be listened to.
    #[error("listening to signal {signal} failed: {}", errno::describe(.source))]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The loop is gone: its thread has ended.
    #[error("using an event loop failed: its thread has ended")]
    LoopGone,
    /// The loop's queue of posted callbacks is full.
    #[error("posting to an event loop failed: {limit} callbacks are already queued")]
    PostQueueFull {
        /// The maximum number of queued callbacks.
        limit: usize,
    },
    /// Too many blocking jobs are pending.
    #[error("starting a blocking job failed: {limit} jobs are already pending")]
    TooManyJobs {
        /// The maximum number of pending jobs.
        limit: usize,
    },
    /// No thread could be started for blocking jobs.
    #[error("starting a thread for a blocking job failed: {}", errno::describe(.source))]
    NoThread {
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A task or a blocking job panicked.
    #[error("a task panicked: {message}")]
    TaskPanicked {
        /// The panic message.
        message: Arc<str>,
    },
    /// A task was cancelled, or its loop is gone.
    #[error("a task was cancelled")]
    TaskCancelled,
}

impl Error {
    pub(crate) fn poll(what: &'static str, source: io::Error) -> Self {
        Error::Poll {
            what,
            source: Arc::new(source),
        }
    }
}
