//! The crate's error.

use std::any::Any;
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
    /// Something failed on the stream that is named.
    #[error("{stream}: {source}")]
    Of {
        /// The stream: a path, `stdin`, `file descriptor 7`.
        stream: Arc<str>,
        /// What failed.
        source: Arc<Error>,
    },
    /// A stream under this one failed.
    #[error("{source}")]
    Inner {
        /// The error of that stream.
        source: Arc<dyn std::error::Error + Send + Sync>,
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
    /// More files were written than may wait in the write queue.
    #[error("writing failed: the write queue is at its limit of {limit} files (ENOBUFS)")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// More values were written than an [`ObjectStream`](crate::ObjectStream) may hold.
    #[error("writing failed: the stream is at its limit of {limit} values (ENOBUFS)")]
    TooManyValues {
        /// The limit.
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
    /// A line, or another frame, is longer than the limit of its decoder.
    #[error(
        "decoding failed: a frame has at least {length} bytes, the limit is {limit} (EMSGSIZE)"
    )]
    FrameTooLong {
        /// The number of its bytes as far as they are known; exact where the frame begins with its length.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The input has ended within a frame.
    #[error("decoding failed: the input ended within a frame, {missing} bytes are missing")]
    Incomplete {
        /// The number of the missing bytes as far as they are known, at least 1.
        missing: usize,
    },
    /// A decoder of a [`DecodedStream`](crate::DecodedStream) failed.
    #[error("decoding failed: {source}")]
    Decode {
        /// The decoder's own error.
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
    pub(crate) fn open(what: impl Into<Arc<str>>, source: impl Into<io::Error>) -> Self {
        Error::Open {
            what: what.into(),
            source: Arc::new(source.into()),
        }
    }

    /// An error of any stream as this crate's.
    pub(crate) fn of<E: std::error::Error + Clone + Send + Sync + 'static>(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<Error>() {
            Some(error) => error.clone(),
            None => Error::Inner {
                source: Arc::new(error),
            },
        }
    }

    /// Returns an [`Error::Decode`], for decoders: of an error or of a text.
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

    /// The error of the operating system behind this one, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Error::Open { source, .. }
            | Error::Read { source }
            | Error::Write { source }
            | Error::Watch { source } => Some(source),
            Error::Of { source, .. } => source.io_error(),
            Error::Inner { source } => io_error_in(&**source),
            _ => None,
        }
    }
}

/// The first I/O error in a chain of errors.
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

/// The kind is the one of the I/O error inside, where there is one; the error itself is kept as its source.
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
                Error::Of { source, .. } => kind(source),
                other => other
                    .io_error()
                    .map_or(io::ErrorKind::Other, io::Error::kind),
            }
        }
        io::Error::new(kind(&error), error)
    }
}
