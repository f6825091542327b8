//! Stream traits of a through stream.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, Listeners};

use super::ThroughStream;
use crate::chunk::Chunk;
use crate::contract::{BaseStream, DuplexStream, ReadableStream, WritableStream};
use crate::error::Error;

impl Default for ThroughStream {
    fn default() -> Self {
        Self::new()
    }
}

impl Emitter for ThroughStream {
    type Events = ThroughStream;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == Self::DATA.slot() {
            self.schedule();
        }
    }
}

impl BaseStream for ThroughStream {
    type Error = Error;

    const ERROR: Event<Self, Error> = ThroughStream::ERROR;
    const CLOSE: Event<Self, ()> = ThroughStream::CLOSE;

    fn close(self) {
        ThroughStream::close(self);
    }
}

impl ReadableStream for ThroughStream {
    const DATA: Event<Self, Bytes> = ThroughStream::DATA;
    const END: Event<Self, ()> = ThroughStream::END;

    fn is_readable(self) -> bool {
        ThroughStream::is_readable(self)
    }

    fn pause(self) {
        ThroughStream::pause(self);
    }

    fn resume(self) {
        ThroughStream::resume(self);
    }
}

impl WritableStream for ThroughStream {
    const DRAIN: Event<Self, ()> = ThroughStream::DRAIN;
    const PIPE: Event<Self, ()> = ThroughStream::PIPE;

    fn is_writable(self) -> bool {
        ThroughStream::is_writable(self)
    }

    fn write(self, chunk: impl Chunk) -> bool {
        ThroughStream::write(self, chunk)
    }

    fn end(self) {
        ThroughStream::end(self);
    }
}

impl DuplexStream for ThroughStream {
    fn shutdown_write(self) {
        ThroughStream::end(self);
    }

    fn poll_shutdown_write(self, _: &mut Context<'_>) -> Poll<()> {
        ThroughStream::end(self);
        Poll::Ready(())
    }

    /// The stream has no peer, so the setting has no effect.
    fn set_allow_half_open(self, _: bool) {}
}

impl fmt::Debug for ThroughStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThroughStream").field(&self.id).finish()
    }
}
