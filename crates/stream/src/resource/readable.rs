//! Reading from any descriptor.

use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use rustix::fs::OFlags;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::Opened;
use super::{reading, transport};
use crate::contract::{BaseStream, ReadableStream};
use crate::error::Error;
use crate::transport as engine;

/// A stream that is read from a descriptor: a pipe, a terminal, a FIFO, a socket, a file.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. It reads only while there is a `data` listener, or
/// after [`resume`](ReadableResourceStream::resume). The events are `data`, `end`, `error` and `close`, in the order of
/// [`ReadableStream`].
///
/// Files, which are always ready and yet block, are read on the pool of blocking jobs.
///
/// # Limits
/// `data` has 64 KiB at most; a file is read 64 KiB ahead.
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
            /// Bytes have come.
            DATA = "data";
        }
        () => {
            /// The descriptor has no more bytes.
            END = "end";
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
    ReadableResourceStream,
    ReadableResourceStream::DATA,
    ReadableResourceStream::END,
    // It is never written, so this is never emitted.
    Event::new("drain", 23)
);
reading!(ReadableResourceStream);

impl ReadableResourceStream {
    /// Reads from a descriptor that the program owns: a child's `stdout`, a pipe, a socket, a file.
    ///
    /// The descriptor is made non-blocking, with all its duplicates. One that is shared with other processes, as
    /// standard input is, is better opened with [`stdin`].
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and sockets that carry datagrams (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(Opened::adopt(descriptor.into())?, true, false)
    }

    /// Reads from a file, a FIFO or a device. A FIFO that nobody writes to is at its end.
    ///
    /// # Errors
    /// [`Error::Open`] when it cannot be opened.
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
        Self::start(Opened::path(path.as_ref(), OFlags::RDONLY)?, true, false)
    }
}

/// Standard input as a stream, whatever it is: a terminal, a pipe, a file, a socket.
///
/// Other processes share standard input as a rule, and a non-blocking one would break them. So a pipe or a terminal is
/// opened anew (on Linux); a socket, which cannot be, is made non-blocking and is blocking again when the stream
/// closes. Closing the stream leaves descriptor 0 open.
///
/// # Errors
/// [`Error::Open`] when standard input is closed (`EBADF`) or a directory.
pub fn stdin() -> Result<ReadableResourceStream, Error> {
    let opened = Opened::inherit(std::io::stdin().as_fd(), "stdin", OFlags::RDONLY)?;
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
