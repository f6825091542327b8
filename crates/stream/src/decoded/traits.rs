//! Stream traits of a decoded stream.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use uptick_emitter::{Emits, Emitter, Event, EventSet, Listeners};

#[cfg(feature = "json")]
use super::JsonStream;
use super::{DATA, DecodedStream};
use crate::contract::{BaseStream, ReadableStream, WritableStream};
use crate::decode::Decoder;
use crate::error::Error;
use crate::pipe::PipeOptions;

impl<D> Clone for DecodedStream<D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for DecodedStream<D> {}

impl<D> PartialEq for DecodedStream<D> {
    fn eq(&self, other: &Self) -> bool {
        self.untyped == other.untyped
    }
}

impl<D> Eq for DecodedStream<D> {}

impl<D> Hash for DecodedStream<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.untyped.hash(state);
    }
}

impl<D> fmt::Debug for DecodedStream<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DecodedStream")
            .field(&self.untyped.id)
            .finish()
    }
}

impl<D: Decoder> EventSet for DecodedStream<D> {
    type Frequent = ();
    const NAMES: &'static [&'static str] = &["data", "end", "close", "error"];
}

impl<D: Decoder<Item = Bytes>> Emits<Bytes> for DecodedStream<D> {
    const EVENTS: &'static [Event<Self, Bytes>] = &[Self::DATA];
}

#[cfg(feature = "json")]
impl Emits<serde_json::Value> for JsonStream<serde_json::Value> {
    const EVENTS: &'static [Event<Self, serde_json::Value>] = &[Self::DATA];
}

impl<D: Decoder> Emits<()> for DecodedStream<D> {
    const EVENTS: &'static [Event<Self, ()>] = &[Self::END, Self::CLOSE];
}

impl<D: Decoder> Emits<Error> for DecodedStream<D> {
    const EVENTS: &'static [Event<Self, Error>] = &[Self::ERROR];
}

impl<D: Decoder> Emitter for DecodedStream<D> {
    type Events = Self;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.untyped.entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == DATA && self.untyped.entry(|entry| entry.state.paused) == Some(false) {
            self.untyped.start_flow();
        } else if slot == DATA
            && let Some(source) = self.untyped.source()
        {
            source.forward(self.untyped);
        }
    }
}

impl<D: Decoder> BaseStream for DecodedStream<D> {
    type Error = Error;

    const ERROR: Event<Self, Error> = DecodedStream::ERROR;
    const CLOSE: Event<Self, ()> = DecodedStream::CLOSE;

    fn close(self) {
        DecodedStream::close(self);
    }
}

impl<D: Decoder<Item = Bytes>> DecodedStream<D> {
    /// Writes all items to `destination`, without the delimiters between them: see [`ReadableStream::pipe`].
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// Like [`pipe`](Self::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }
}

impl<D: Decoder<Item = Bytes>> ReadableStream for DecodedStream<D> {
    const DATA: Event<Self, Bytes> = DecodedStream::DATA;
    const END: Event<Self, ()> = DecodedStream::END;

    fn is_readable(self) -> bool {
        DecodedStream::is_readable(self)
    }

    fn pause(self) {
        DecodedStream::pause(self);
    }

    fn resume(self) {
        DecodedStream::resume(self);
    }
}
