//! The error type of the crate.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use uptick_event_loop::errno;

/// An error of a master or a worker.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Listening on an address failed.
    #[error(transparent)]
    Listen(#[from] uptick_socket::Error),
    /// The event loop failed.
    #[error(transparent)]
    Loop(#[from] uptick_event_loop::Error),
    /// A system call failed.
    #[error("{operation} failed: {}", errno::describe(source))]
    System {
        /// The operation that failed, such as `starting a worker`.
        operation: Arc<str>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// A control message was malformed.
    #[error("a message between master and worker is malformed: {reason} (EPROTO)")]
    Control {
        /// The reason.
        reason: Arc<str>,
    },
    /// Too many workers are draining, so no other can be started.
    #[error("starting a worker failed: too many workers are draining")]
    TooManyWorkers,
    /// Sharing the session ticket keys with another process failed.
    #[error("{operation} the session ticket keys failed: {reason}")]
    TicketKeys {
        /// The operation that failed.
        operation: &'static str,
        /// The cause.
        reason: Arc<str>,
    },
    /// The other process has ended.
    #[error("the other process has ended (EPIPE)")]
    PeerGone,
    /// Another instance of the program holds the lock file.
    #[error("locking {path} failed: another instance holds it (EAGAIN)")]
    Locked {
        /// The lock file.
        path: Arc<str>,
    },
    /// No worker of the first generation became ready.
    #[error(
        "starting the workers failed: {deaths} workers ended before any was ready; see their output for the cause"
    )]
    StartFailed {
        /// The number of workers that ended.
        deaths: u32,
    },
    /// Connections were still open at the deadline of a stop.
    #[error(
        "stopping failed: connections were still open at the deadline and were closed (ETIMEDOUT)"
    )]
    DrainTimeout,
    /// The setup function of a worker failed.
    #[error("setting up worker {worker} failed: {reason}")]
    Setup {
        /// The number of the worker.
        worker: usize,
        /// The error returned by the function.
        reason: Arc<str>,
    },
    /// The index of a listener was out of range.
    #[error("worker.server({index}) failed: there are {count} listeners (EINVAL)")]
    NoListener {
        /// The requested index.
        index: usize,
        /// The number of listeners.
        count: usize,
    },
    /// A limit or a number of workers is not valid.
    #[error("{reason} (EINVAL)")]
    Invalid {
        /// The reason.
        reason: Arc<str>,
    },
}

impl Error {
    pub(crate) fn system(operation: &str, errno: Errno) -> Self {
        Error::io(operation, errno.into())
    }

    pub(crate) fn io(operation: &str, error: io::Error) -> Self {
        Error::System {
            operation: operation.into(),
            source: Arc::new(error),
        }
    }

    pub(crate) fn control(reason: &str) -> Self {
        Error::Control {
            reason: reason.into(),
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn ticket_keys(operation: &'static str, error: &dyn std::error::Error) -> Self {
        Error::TicketKeys {
            operation,
            reason: error.to_string().into(),
        }
    }

    pub(crate) fn invalid(reason: &str) -> Self {
        Error::Invalid {
            reason: reason.into(),
        }
    }
}
