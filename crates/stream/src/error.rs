//! The crate's error.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use uptick_event_loop::errno;

/// What can go wrong with a stream; after it the stream closes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream could not be opened.
    #[error("opening {what} failed: {}", errno::describe(.source))]
    Open {
        /// What was to be opened.
        what: Arc<str>,
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// Reading failed.
    #[error("reading failed: {}", errno::describe(.source))]
    Read {
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// Writing failed; what was not sent by then is lost.
    #[error("writing failed: {}", errno::describe(.source))]
    Write {
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// The loop could not watch the stream.
    #[error("watching the stream failed: {}", errno::describe(.source))]
    Watch {
        /// Why it failed.
        source: Arc<io::Error>,
    },
    /// More was written than the write queue may hold, because the other side reads too slowly.
    #[error("writing failed: the write queue is at its limit of {limit} bytes (ENOBUFS)")]
    BufferFull {
        /// The limit in bytes.
        limit: usize,
    },
    /// The other side has taken nothing for too long.
    #[error("writing failed: the peer has read nothing for {after:?} (ETIMEDOUT)")]
    WriteStalled {
        /// The limit.
        after: Duration,
    },
    /// Nothing was read or written for too long.
    #[error("nothing was read or written for {after:?} (ETIMEDOUT)")]
    Idle {
        /// The limit.
        after: Duration,
    },
    /// A filter of the stream, such as TLS, failed.
    #[error("{what} failed: {source}")]
    Filter {
        /// What the filter was doing, such as `TLS handshake`.
        what: Arc<str>,
        /// The filter's own error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A callback of the stream panicked.
    #[error("a callback panicked: {message}")]
    Panic {
        /// What the panic said.
        message: Arc<str>,
    },
    /// A transform of a [`ThroughStream`](crate::ThroughStream) gave an error.
    #[error("transforming failed: {source}")]
    Transform {
        /// The transform's own error.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The stream is closed.
    #[error("the stream is closed (EPIPE)")]
    Closed,
}

impl Error {
    pub(crate) fn read(source: impl Into<io::Error>) -> Self {
        Error::Read {
            source: Arc::new(source.into()),
        }
    }

    pub(crate) fn write(source: impl Into<io::Error>) -> Self {
        Error::Write {
            source: Arc::new(source.into()),
        }
    }

    pub(crate) fn watch(source: io::Error) -> Self {
        Error::Watch {
            source: Arc::new(source),
        }
    }

    /// The error of the operating system behind this one, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Open { source, .. }
            | Error::Read { source }
            | Error::Write { source }
            | Error::Watch { source } => Some(source),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::WriteStalled { .. } | Error::Idle { .. } => io::ErrorKind::TimedOut,
            Error::Closed => io::ErrorKind::BrokenPipe,
            Error::Filter { .. } => io::ErrorKind::InvalidData,
            other => other
                .io_error()
                .map_or(io::ErrorKind::Other, io::Error::kind),
        };
        io::Error::new(kind, error)
    }
}
