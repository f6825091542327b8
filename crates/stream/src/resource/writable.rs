//! StreamTable that write a descriptor.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::OpenedResource;
use super::{transport, writable_methods};
use crate::chunk::Chunk;
use crate::contract::{BaseStream, WritableStream};
use crate::error::Error;
use crate::transport as engine;

/// A stream that writes a descriptor: a pipe, a terminal, a FIFO, a socket, a file.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. The events are `drain`, `pipe`, `error` and `close`;
/// see [`WritableStream`].
///
/// Files are always ready but may block, so they are written on the pool of blocking jobs. Writing to a pipe whose reader
/// has closed emits `error` (`EPIPE`), as Rust programs ignore `SIGPIPE`.
///
/// # Limits
/// Write queue 64 KiB soft, 16 MiB hard; see the setters.
///
/// # Examples
/// ```
/// use std::process::{Command, Stdio};
/// use uptick_stream::WritableResourceStream;
///
/// let mut child = Command::new("wc").arg("-c").stdin(Stdio::piped()).spawn()?;
/// if let Some(stdin) = child.stdin.take() {
///     WritableResourceStream::new(stdin)?.end_with("hello\n");
/// }
/// uptick_event_loop::run()?;
/// println!("{}", child.wait()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WritableResourceStream {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl WritableResourceStream {
        #![frequent(_: bytes::Bytes)]
        () => {
            /// Emitted when the write queue falls below its soft limit, after `write` returned `false`.
            DRAIN = "drain";
            /// Emitted when a stream is piped into this one.
            PIPE = "pipe";
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
    WritableResourceStream,
    // Never emitted, as the stream is not readable.
    Event::new("data", 23),
    Event::new("end", 22),
    WritableResourceStream::DRAIN
);
writable_methods!(WritableResourceStream);

impl WritableResourceStream {
    /// Creates a stream that writes a descriptor owned by the program: `stdin` of a child process, a pipe, a socket, a file.
    ///
    /// The descriptor and all its duplicates are made non-blocking. For a descriptor shared with other processes, such as
    /// standard output, use [`stdout`].
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and datagram sockets (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(OpenedResource::adopt(descriptor.into())?, false, true)
    }

    /// Opens a file for writing; creates it if it does not exist, and truncates it otherwise.
    ///
    /// # Errors
    /// [`Error::Open`] if it cannot be opened.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        Self::start(OpenedResource::path(path.as_ref(), flags)?, false, true)
    }

    /// Opens a file for appending; creates it if it does not exist.
    ///
    /// # Errors
    /// [`Error::Open`] if it cannot be opened.
    pub fn append(path: impl AsRef<Path>) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        Self::start(OpenedResource::path(path.as_ref(), flags)?, false, true)
    }
}

/// Opens standard output as a stream: a terminal, a pipe, a file or a socket.
///
/// It does not share a buffer with `print!`, which still works: the output of both appears in the order in which it reaches
/// the descriptor. As with [`stdin`](crate::stdin), other processes that share standard output are not affected, and closing
/// the stream leaves descriptor 1 open.
///
/// # Errors
/// [`Error::Open`] if standard output is closed (`EBADF`).
pub fn stdout() -> Result<WritableResourceStream, Error> {
    let opened = OpenedResource::inherit(std::io::stdout().as_fd(), "stdout", OFlags::WRONLY)?;
    WritableResourceStream::start(opened, false, true)
}

/// Opens standard error as a stream; see [`stdout`].
///
/// # Errors
/// [`Error::Open`] if standard error is closed (`EBADF`).
pub fn stderr() -> Result<WritableResourceStream, Error> {
    let opened = OpenedResource::inherit(std::io::stderr().as_fd(), "stderr", OFlags::WRONLY)?;
    WritableResourceStream::start(opened, false, true)
}

impl BaseStream for WritableResourceStream {
    type Error = Error;

    const ERROR: Event<Self, Error> = WritableResourceStream::ERROR;
    const CLOSE: Event<Self, ()> = WritableResourceStream::CLOSE;

    fn close(self) {
        engine::close(self);
    }
}

impl WritableStream for WritableResourceStream {
    const DRAIN: Event<Self, ()> = WritableResourceStream::DRAIN;
    const PIPE: Event<Self, ()> = WritableResourceStream::PIPE;

    fn is_writable(self) -> bool {
        engine::is_writable(self)
    }

    #[inline]
    fn write(self, chunk: impl Chunk) -> bool {
        engine::write(self, chunk)
    }

    fn end(self) {
        engine::end(self);
    }
}
