//! The crate's error.

use std::io;
use std::sync::Arc;

use crate::errno;

/// What can go wrong with the loop itself.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `run` was called from a callback of the loop that is running.
    #[error("running the event loop failed: it is running already")]
    AlreadyRunning,
    /// This thread has a loop already.
    #[error("installing an event loop failed: this thread has one already")]
    AlreadyInstalled,
    /// The poller does not work.
    #[error("{what} failed: {}", errno::describe(.source))]
    Poll {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A descriptor cannot be watched.
    #[error("watching file descriptor {fd} failed: {}", errno::describe(.source))]
    Watch {
        /// The descriptor.
        fd: i32,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A descriptor is watched already, in the same direction.
    #[error("watching file descriptor {fd} failed: it is watched already (EEXIST)")]
    AlreadyWatched {
        /// The descriptor.
        fd: i32,
    },
    /// A signal cannot be listened to.
    #[error("listening to signal {signal} failed: {}", errno::describe(.source))]
    Signal {
        /// The signal's number.
        signal: i32,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// The loop is gone: its thread has ended.
    #[error("using an event loop failed: its thread has ended")]
    LoopGone,
    /// Too much waits to be taken in by the loop.
    #[error("posting to an event loop failed: {limit} calls wait already")]
    PostQueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// Too many blocking jobs are under way.
    #[error("starting a blocking job failed: {limit} are under way already")]
    TooManyJobs {
        /// How many there may be.
        limit: usize,
    },
    /// No thread can be started for blocking jobs.
    #[error("starting a thread for a blocking job failed: {}", errno::describe(.source))]
    NoThread {
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// A task, or the job it waited for, panicked.
    #[error("a task panicked: {message}")]
    TaskPanicked {
        /// What the panic said.
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
