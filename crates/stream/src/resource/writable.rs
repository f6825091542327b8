//! Writing to any descriptor.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::Opened;
use super::{transport, writing};
use crate::chunk::Chunk;
use crate::contract::{BaseStream, WritableStream};
use crate::error::Error;
use crate::transport as engine;

/// A stream that is written to a descriptor: a pipe, a terminal, a FIFO, a socket, a file.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. The events are `drain`, `pipe`, `error` and `close`;
/// see [`WritableStream`].
///
/// Files, which are always ready and yet block, are written on the pool of blocking jobs. A pipe whose reader is gone
/// gives an `error` (`EPIPE`) with the next write, as Rust programs ignore `SIGPIPE`.
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
            /// The write queue has fallen below its soft limit after `write` gave `false`.
            DRAIN = "drain";
            /// A stream is piped into this one.
            PIPE = "pipe";
            /// The stream is over.
            CLOSE = "close";
        }
        Error => {
            /// Something failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

transport!(
    WritableResourceStream,
    // It is never read, so these are never emitted.
    Event::new("data", 23),
    Event::new("end", 22),
    WritableResourceStream::DRAIN
);
writing!(WritableResourceStream);

impl WritableResourceStream {
    /// Writes to a descriptor that the program owns: a child's `stdin`, a pipe, a socket, a file.
    ///
    /// The descriptor is made non-blocking, with all its duplicates. One that is shared with other processes, as
    /// standard output is, is better opened with [`stdout`].
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and sockets that carry datagrams (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(Opened::adopt(descriptor.into())?, false, true)
    }

    /// Writes to a file, which is made anew or emptied.
    ///
    /// # Errors
    /// [`Error::Open`] when it cannot be opened.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        Self::start(Opened::path(path.as_ref(), flags)?, false, true)
    }

    /// Writes behind the end of a file, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Open`] when it cannot be opened.
    pub fn append(path: impl AsRef<Path>) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        Self::start(Opened::path(path.as_ref(), flags)?, false, true)
    }
}

/// Standard output as a stream, whatever it is: a terminal, a pipe, a file, a socket.
///
/// It shares nothing with `print!`, which goes on to work: what both write comes in the order in which it reaches the
/// descriptor. As with [`stdin`](crate::stdin), other processes that share standard output are left in peace, and
/// closing the stream leaves descriptor 1 open.
///
/// # Errors
/// [`Error::Open`] when standard output is closed (`EBADF`).
pub fn stdout() -> Result<WritableResourceStream, Error> {
    let opened = Opened::inherit(std::io::stdout().as_fd(), "stdout", OFlags::WRONLY)?;
    WritableResourceStream::start(opened, false, true)
}

/// Standard error as a stream; see [`stdout`].
///
/// # Errors
/// [`Error::Open`] when standard error is closed (`EBADF`).
pub fn stderr() -> Result<WritableResourceStream, Error> {
    let opened = Opened::inherit(std::io::stderr().as_fd(), "stderr", OFlags::WRONLY)?;
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
