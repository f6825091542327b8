//! Reading from and writing to one descriptor.

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::Opened;
use super::{reading, transport, writing};
use crate::contract::DuplexTransport;
use crate::error::Error;
use crate::filter::Filter;
use crate::transport as engine;

/// A stream that is read from and written to one descriptor: a socket, a terminal, a serial line.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. The events are `data`, `end`, `drain`, `pipe`, `error`
/// and `close`; see [`ReadableStream`](crate::ReadableStream) and [`WritableStream`](crate::WritableStream).
///
/// For network sockets there is the `uptick-socket` crate, whose connections know their addresses.
///
/// # Limits
/// Write queue 64 KiB soft, 16 MiB hard · write stall 30 s and linger after `end` 1 s for sockets; see the setters.
///
/// # Examples
/// An echo:
/// ```
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
/// use std::os::unix::net::UnixStream;
/// use uptick_stream::DuplexResourceStream;
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let stream = DuplexResourceStream::new(ours)?;
/// stream.pipe(stream);
///
/// theirs.write_all(b"hello")?;
/// theirs.shutdown(Shutdown::Write)?;
/// uptick_event_loop::run()?;
/// let mut answer = String::new();
/// theirs.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DuplexResourceStream {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl DuplexResourceStream {
        #![frequent(DATA: Bytes)]
        Bytes => {
            /// Bytes have come.
            DATA = "data";
        }
        () => {
            /// The other side has ended.
            END = "end";
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
    DuplexResourceStream,
    DuplexResourceStream::DATA,
    DuplexResourceStream::END,
    DuplexResourceStream::DRAIN
);
reading!(DuplexResourceStream);
writing!(DuplexResourceStream);

impl DuplexResourceStream {
    /// Reads from and writes to a descriptor that the program owns. It is made non-blocking, with all its duplicates.
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and sockets that carry datagrams (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(Opened::adopt(descriptor.into())?, true, true)
    }

    /// Sends what is written, then tells the other side that no more will come, if the descriptor is a socket; reading
    /// goes on.
    pub fn shutdown_write(self) {
        engine::shutdown_write(self);
    }

    /// Sets how long `end` waits for the other side's end, throwing away what it still sends; sockets only.
    /// Default: 1 s.
    pub fn set_linger(self, time: Duration) {
        engine::set_linger(self, time);
    }

    /// Sets whether the stream stays open for writing after the other side's end. Default: false, it then ends itself.
    pub fn set_allow_half_open(self, allow: bool) {
        engine::set_allow_half_open(self, allow);
    }

    /// Puts a layer between the descriptor and the listeners, above those that are there; see
    /// [`filter`](crate::filter).
    pub fn add_filter(self, filter: impl Filter) {
        engine::add_filter(self, filter);
    }
}

impl DuplexTransport for DuplexResourceStream {
    const PIPE: Event<Self, ()> = DuplexResourceStream::PIPE;
}
