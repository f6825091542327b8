//! The error type of the crate.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use uptick_event_loop::errno;

/// The error of a stream; the stream closes after it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stream could not be opened.
    #[error("opening {target} failed: {}", errno::describe(.source))]
    Open {
        /// The path or descriptor that was opened.
        target: Arc<str>,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// An operation on the named stream failed.
    #[error("{stream}: {source}")]
    Stream {
        /// The stream: a path, `stdin`, `file descriptor 7`.
        stream: Arc<str>,
        /// The error.
        source: Arc<Error>,
    },
    /// The stream that this stream wraps failed.
    #[error("{source}")]
    Inner {
        /// The error of the wrapped stream.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Reading failed.
    #[error("reading failed: {}", errno::describe(.source))]
    Read {
        /// The cause.
        source: Arc<io::Error>,
    },
    /// Writing failed; unsent data is lost.
    #[error("writing failed: {}", errno::describe(.source))]
    Write {
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The loop could not watch the stream.
    #[error("watching the stream failed: {}", errno::describe(.source))]
    Watch {
        /// The cause.
        source: Arc<io::Error>,
    },
    /// The write queue is full because the peer reads too slowly.
    #[error("writing failed: the write queue is at its limit of {limit} bytes (ENOBUFS)")]
    BufferFull {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many files are in the write queue.
    #[error("writing failed: the write queue is at its limit of {limit} files (ENOBUFS)")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Too many values are buffered in an [`ObjectStream`](crate::ObjectStream).
    #[error("writing failed: the stream is at its limit of {limit} values (ENOBUFS)")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// The peer has acknowledged nothing for too long.
    #[error("writing failed: the peer has read nothing for {after:?} (ETIMEDOUT)")]
    WriteStalled {
        /// The limit.
        after: Duration,
    },
    /// The stream was idle in both directions for too long.
    #[error("nothing was read or written for {after:?} (ETIMEDOUT)")]
    Idle {
        /// The limit.
        after: Duration,
    },
    /// A filter of the stream, such as TLS, failed.
    #[error("{operation} failed: {source}")]
    Filter {
        /// The operation of the filter, such as `TLS handshake`.
        operation: Arc<str>,
        /// The error of the filter.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A callback of the stream panicked.
    #[error("a callback panicked: {message}")]
    Panic {
        /// The panic message.
        message: Arc<str>,
    },
    /// The transform of a [`ThroughStream`](crate::ThroughStream) or an [`ObjectStream`](crate::ObjectStream) failed.
    #[error("transforming failed: {source}")]
    Transform {
        /// The error of the transform.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A line or another frame is longer than the limit of its decoder.
    #[error(
        "decoding failed: a frame has at least {length} bytes, the limit is {limit} (EMSGSIZE)"
    )]
    FrameTooLong {
        /// The length of the frame as far as it is known, in bytes; exact for frames with a length prefix.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The input ended within a frame.
    #[error("decoding failed: the input ended within a frame, {missing} bytes are missing")]
    Incomplete {
        /// The number of missing bytes as far as it is known, at least 1.
        missing: usize,
    },
    /// A decoder of a [`DecodedStream`](crate::DecodedStream) failed.
    #[error("decoding failed: {source}")]
    Decode {
        /// The error of the decoder.
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

    #[cfg(feature = "resources")]
    pub(crate) fn open(target: impl Into<Arc<str>>, source: impl Into<io::Error>) -> Self {
        Error::Open {
            target: target.into(),
            source: Arc::new(source.into()),
        }
    }

    /// Converts the error of any stream into an error of this crate.
    pub(crate) fn from_stream<E: std::error::Error + Clone + Send + Sync + 'static>(
        error: E,
    ) -> Self {
        match (&error as &dyn Any).downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => Error::Inner {
                source: Arc::new(error),
            },
        }
    }

    /// Creates an [`Error::Decode`] from an error or a text, for decoders.
    pub fn decode(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Decode {
            source: source.into().into(),
        }
    }

    pub(crate) fn watch(source: io::Error) -> Self {
        Error::Watch {
            source: Arc::new(source),
        }
    }

    /// Returns the operating system error that caused this one, if any.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Open { source, .. }
            | Error::Read { source }
            | Error::Write { source }
            | Error::Watch { source } => Some(source),
            Error::Stream { source, .. } => source.io_error(),
            Error::Inner { source } => io_error_in(&**source),
            _ => None,
        }
    }
}

/// Returns the first I/O error in a chain of errors.
fn io_error_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        if let Some(found) = error.downcast_ref::<Error>() {
            return found.io_error();
        }
        next = error.source();
    }
    None
}

/// Keeps the kind of the inner I/O error, if any; the error itself is the source.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        fn kind(error: &Error) -> io::ErrorKind {
            match error {
                Error::WriteStalled { .. } | Error::Idle { .. } => io::ErrorKind::TimedOut,
                Error::Closed => io::ErrorKind::BrokenPipe,
                Error::Filter { .. } | Error::FrameTooLong { .. } | Error::Decode { .. } => {
                    io::ErrorKind::InvalidData
                }
                Error::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
                Error::Stream { source, .. } => kind(source),
                other => other
                    .io_error()
                    .map_or(io::ErrorKind::Other, io::Error::kind),
            }
        }
        io::Error::new(kind(&error), error)
    }
}
