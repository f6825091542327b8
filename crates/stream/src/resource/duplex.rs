//! StreamTable that read and write one descriptor.

use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Event, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};

use super::descriptor::OpenedResource;
use super::{readable_methods, transport, writable_methods};
use crate::contract::DuplexTransport;
use crate::error::Error;
use crate::filter::Filter;
use crate::transport as engine;

/// A stream that reads and writes one descriptor: a socket, a terminal, a serial line.
///
/// A `Copy` handle: the thread's event loop owns the descriptor. The events are `data`, `end`, `drain`, `pipe`, `error`
/// and `close`; see [`ReadableStream`](crate::ReadableStream) and [`WritableStream`](crate::WritableStream).
///
/// For network sockets, use the `uptick-socket` crate, whose connections have addresses.
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
/// let mut reply = String::new();
/// theirs.read_to_string(&mut reply)?;
/// assert_eq!(reply, "hello");
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
            /// Emitted for received bytes.
            DATA = "data";
        }
        () => {
            /// Emitted when the peer has ended.
            END = "end";
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
    DuplexResourceStream,
    DuplexResourceStream::DATA,
    DuplexResourceStream::END,
    DuplexResourceStream::DRAIN
);
readable_methods!(DuplexResourceStream);
writable_methods!(DuplexResourceStream);

impl DuplexResourceStream {
    /// Creates a stream over a descriptor that the program owns. The descriptor and all its duplicates are made
    /// non-blocking.
    ///
    /// # Errors
    /// [`Error::Open`] for directories (`EISDIR`) and datagram sockets (`EPROTOTYPE`).
    pub fn new(descriptor: impl Into<OwnedFd>) -> Result<Self, Error> {
        Self::start(OpenedResource::adopt(descriptor.into())?, true, true)
    }

    /// Sends all written data, then end of stream if the descriptor is a socket. Reading continues.
    pub fn shutdown_write(self) {
        engine::shutdown_write(self);
    }

    /// Sets the maximum time that `end` waits for the peer's end of stream, discarding received data; sockets only. Default: 1 s.
    pub fn set_linger(self, time: Duration) {
        engine::set_linger(self, time);
    }

    /// Sets whether the stream stays open for writing after the peer's end of stream; if not, it ends itself. Default: false.
    pub fn set_allow_half_open(self, allow: bool) {
        engine::set_allow_half_open(self, allow);
    }

    /// Adds a layer between the descriptor and the listeners, above the existing filters; see [`filter`](crate::filter).
    pub fn add_filter(self, filter: impl Filter) {
        engine::add_filter(self, filter);
    }
}

impl DuplexTransport for DuplexResourceStream {
    const PIPE: Event<Self, ()> = DuplexResourceStream::PIPE;
}
