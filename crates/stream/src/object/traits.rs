//! Stream traits of an object stream.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use uptick_emitter::{Emits, Emitter, Event, EventSet, Listeners};

use super::{DATA, ObjectStream};
use crate::contract::{BaseStream, ReadableStream, WritableStream};
use crate::error::Error;
use crate::pipe::PipeOptions;

impl<In, Out> Clone for ObjectStream<In, Out> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<In, Out> Copy for ObjectStream<In, Out> {}

impl<In, Out> PartialEq for ObjectStream<In, Out> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<In, Out> Eq for ObjectStream<In, Out> {}

impl<In, Out> Hash for ObjectStream<In, Out> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<In, Out> fmt::Debug for ObjectStream<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectStream").field(&self.id).finish()
    }
}

impl<In: 'static, Out: Clone + 'static> EventSet for ObjectStream<In, Out> {
    type Frequent = ();
    const NAMES: &'static [&'static str] = &["data", "end", "drain", "pipe", "close", "error"];
}

impl<In: 'static> Emits<Bytes> for ObjectStream<In, Bytes> {
    const EVENTS: &'static [Event<Self, Bytes>] = &[Self::DATA];
}

impl<In: 'static, Out: Clone + 'static> Emits<()> for ObjectStream<In, Out> {
    const EVENTS: &'static [Event<Self, ()>] = &[Self::END, Self::DRAIN, Self::PIPE, Self::CLOSE];
}

impl<In: 'static, Out: Clone + 'static> Emits<Error> for ObjectStream<In, Out> {
    const EVENTS: &'static [Event<Self, Error>] = &[Self::ERROR];
}

impl<In: 'static, Out: Clone + 'static> Emitter for ObjectStream<In, Out> {
    type Events = Self;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == DATA {
            self.schedule();
        }
    }
}

impl<In: 'static, Out: Clone + 'static> BaseStream for ObjectStream<In, Out> {
    type Error = Error;

    const ERROR: Event<Self, Error> = ObjectStream::ERROR;
    const CLOSE: Event<Self, ()> = ObjectStream::CLOSE;

    fn close(self) {
        ObjectStream::close(self);
    }
}

impl<In: 'static> ObjectStream<In, Bytes> {
    /// Writes all emitted bytes to `destination`: see [`ReadableStream::pipe`].
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// Like [`pipe`](Self::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }
}

impl<In: 'static> ReadableStream for ObjectStream<In, Bytes> {
    const DATA: Event<Self, Bytes> = ObjectStream::DATA;
    const END: Event<Self, ()> = ObjectStream::END;

    fn is_readable(self) -> bool {
        ObjectStream::is_readable(self)
    }

    fn pause(self) {
        ObjectStream::pause(self);
    }

    fn resume(self) {
        ObjectStream::resume(self);
    }
}
