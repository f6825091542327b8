//! The error type of the crate.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use uptick_event_loop::errno;

/// An error of a master or a worker.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be listened on.
    #[error(transparent)]
    Listen(#[from] uptick_socket::Error),
    /// The event loop failed.
    #[error(transparent)]
    Loop(#[from] uptick_event_loop::Error),
    /// A system call failed.
    #[error("{what} failed: {}", errno::describe(source))]
    System {
        /// The failed operation, such as `starting a worker`.
        what: Arc<str>,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// The master and the worker did not understand each other.
    #[error("a message between master and worker is malformed: {reason} (EPROTO)")]
    Control {
        /// The reason.
        reason: Arc<str>,
    },
    /// So many workers drain that no other can be started.
    #[error("starting a worker failed: too many workers drain at the same time")]
    TooManyWorkers,
    /// The keys of session tickets could not be shared with another process.
    #[error("{what} the keys of session tickets failed: {reason}")]
    TicketKeys {
        /// The failed operation.
        what: &'static str,
        /// Why it failed.
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
        "starting the workers failed: {deaths} ended before any was ready; their own output says why"
    )]
    StartFailed {
        /// How many ended.
        deaths: u32,
    },
    /// Connections were open at the deadline of a stop.
    #[error("stopping failed: connections were cut at the deadline (ETIMEDOUT)")]
    Cut,
    /// The function that sets up a worker failed.
    #[error("setting up worker {worker} failed: {reason}")]
    Setup {
        /// The number of the worker.
        worker: usize,
        /// The error of the function.
        reason: Arc<str>,
    },
    /// There is no listener of that number.
    #[error("worker.server({index}) failed: {count} addresses are listened on (EINVAL)")]
    NoListener {
        /// The number that was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A limit or a number of workers makes no sense.
    #[error("{what} (EINVAL)")]
    Invalid {
        /// The reason.
        what: Arc<str>,
    },
}

impl Error {
    pub(crate) fn system(what: &str, errno: Errno) -> Self {
        Error::io(what, errno.into())
    }

    pub(crate) fn io(what: &str, error: io::Error) -> Self {
        Error::System {
            what: what.into(),
            source: Arc::new(error),
        }
    }

    pub(crate) fn control(reason: &str) -> Self {
        Error::Control {
            reason: reason.into(),
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn ticket_keys(what: &'static str, error: &dyn std::error::Error) -> Self {
        Error::TicketKeys {
            what,
            reason: error.to_string().into(),
        }
    }

    pub(crate) fn invalid(what: &str) -> Self {
        Error::Invalid { what: what.into() }
    }
}
