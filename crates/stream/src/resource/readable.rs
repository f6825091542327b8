//! StreamTable that read a descriptor.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::OpenedResource;
use super::{readable_methods, transport};
use crate::contract::{BaseStream, ReadableStream};
use crate::error::Error;
use crate::transport as engine;

/// A stream that reads a descriptor: a pipe, a terminal, a FIFO, a socket, a file.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. It reads only while there is a `data` listener, or
/// after [`resume`](ReadableResourceStream::resume). The events are `data`, `end`, `error` and `close`, in the order of
/// [`ReadableStream`].
///
/// Files are always ready but may block, so they are read on the pool of blocking jobs.
///
/// # Limits
/// One `data` event has at most 64 KiB; a file is read 64 KiB ahead.
///
/// # Examples
/// ```
/// use std::process::{Command, Stdio};
/// use bytes::Bytes;
/// use uptick_emitter::Emitter;
/// use uptick_stream::{Error, ReadableResourceStream};
///
/// let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
/// if let Some(stdout) = child.stdout.take() {
///     let stdout = ReadableResourceStream::new(stdout)?;
///     stdout.on("data", |chunk: Bytes| println!("{}", String::from_utf8_lossy(&chunk)));
///     stdout.on("error", |error: Error| eprintln!("{error}"));
///     stdout.on("end", move |()| println!("{:?}", child.wait()));
/// }
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadableResourceStream {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl ReadableResourceStream {
        #![frequent(DATA: Bytes)]
        Bytes => {
            /// Emitted for received bytes.
            DATA = "data";
        }
        () => {
            /// Emitted at the end of the data.
            END = "end";
            /// Emitted when the stream is closed.
            CLOSE = "close";
        }
        Error => {
            /// Emitted when the stream failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

transport!(
    ReadableResourceStream,
    ReadableResourceStream::DATA,
    ReadableResourceStream::END,
    // Never emitted, as the stream is not writable.
    Event::new("drain", 23)
);
readable_methods!(ReadableResourceStream);

impl ReadableResourceStream {
    /// Creates a stream that reads a descriptor owned by the program: `stdout` of a child process, a pipe, a socket, a file.
    ///
    /// The descriptor and all its duplicates are made non-blocking. For a descriptor shared with other processes, such as
    /// standard input, use [`stdin`].
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and datagram sockets (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(OpenedResource::adopt(descriptor.into())?, true, false)
    }

    /// Opens a file, a FIFO or a device for reading. A FIFO without a writer is at its end.
    ///
    /// # Errors
    /// [`Error::Open`] if it cannot be opened.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use uptick_emitter::Emitter;
    /// use uptick_stream::ReadableResourceStream;
    ///
    /// let file = ReadableResourceStream::open("Cargo.toml")?;
    /// file.on("data", |chunk: Bytes| println!("{} bytes", chunk.len()));
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::start(
            OpenedResource::path(path.as_ref(), OFlags::RDONLY)?,
            true,
            false,
        )
    }
}

/// Opens standard input as a stream: a terminal, a pipe, a file or a socket.
///
/// Standard input is usually shared with other processes, which a non-blocking descriptor would break. On Linux, a pipe or a
/// terminal is therefore reopened; a socket cannot be reopened, so it is made non-blocking, and blocking again when the
/// stream closes. Closing the stream leaves descriptor 0 open.
///
/// # Errors
/// [`Error::Open`] if standard input is closed (`EBADF`) or a directory.
pub fn stdin() -> Result<ReadableResourceStream, Error> {
    let opened = OpenedResource::inherit(std::io::stdin().as_fd(), "stdin", OFlags::RDONLY)?;
    ReadableResourceStream::start(opened, true, false)
}

impl BaseStream for ReadableResourceStream {
    type Error = Error;

    const ERROR: Event<Self, Error> = ReadableResourceStream::ERROR;
    const CLOSE: Event<Self, ()> = ReadableResourceStream::CLOSE;

    fn close(self) {
        engine::close(self);
    }
}

impl ReadableStream for ReadableResourceStream {
    const DATA: Event<Self, Bytes> = ReadableResourceStream::DATA;
    const END: Event<Self, ()> = ReadableResourceStream::END;

    fn is_readable(self) -> bool {
        engine::is_readable(self)
    }

    fn pause(self) {
        engine::pause(self);
    }

    fn resume(self) {
        engine::resume(self);
    }
}
