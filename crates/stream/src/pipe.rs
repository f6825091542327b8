//! Pipes: one stream's data into another, at the pace of the slower.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::{ListenerId, emit};

use crate::contract::{ReadableStream, WritableStream};

/// What a pipe does beside passing data on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeOptions {
    /// Whether the source's `end` ends the destination. Default: true.
    pub end: bool,
    /// Whether the destination is closed when the source closes without an `end`, as after an `error`. Default: false.
    pub close_on_error: bool,
}

impl Default for PipeOptions {
    fn default() -> Self {
        PipeOptions {
            end: true,
            close_on_error: false,
        }
    }
}

/// What the listeners of a pipe share.
struct Pipe {
    on_source: Cell<[ListenerId; 3]>,
    on_destination: Cell<[ListenerId; 2]>,
    /// The source is paused until the destination has drained.
    waits: Cell<bool>,
    ended: Cell<bool>,
}

impl Pipe {
    fn detach<R: ReadableStream, W: WritableStream>(&self, source: R, destination: W) {
        for id in self.on_source.replace([ListenerId::NONE; 3]) {
            source.off(id);
        }
        for id in self.on_destination.replace([ListenerId::NONE; 2]) {
            destination.off(id);
        }
    }
}

/// See [`ReadableStream::pipe`].
pub(crate) fn pipe<R: ReadableStream, W: WritableStream>(
    source: R,
    destination: W,
    options: PipeOptions,
) -> W {
    if !source.is_readable() {
        return destination;
    }
    if !destination.is_writable() {
        source.pause();
        return destination;
    }
    let pipe = Rc::new(Pipe {
        on_source: Cell::new([ListenerId::NONE; 3]),
        on_destination: Cell::new([ListenerId::NONE; 2]),
        waits: Cell::new(false),
        ended: Cell::new(false),
    });
    emit(&destination, W::PIPE, ());
    if !destination.is_writable() {
        source.pause();
        return destination;
    }

    let state = Rc::clone(&pipe);
    let drain = destination.on(W::DRAIN, move |()| {
        if state.waits.replace(false) {
            source.resume();
        }
    });
    let state = Rc::clone(&pipe);
    let gone = destination.on(W::CLOSE, move |()| {
        state.detach(source, destination);
        source.pause();
    });
    pipe.on_destination.set([drain, gone]);

    let state = Rc::clone(&pipe);
    let data = source.on(R::DATA, move |chunk: Bytes| {
        if !destination.write(chunk) {
            state.waits.set(true);
            source.pause();
        }
    });
    let state = Rc::clone(&pipe);
    let end = source.on(R::END, move |()| {
        state.ended.set(true);
        if options.end {
            destination.end();
        }
    });
    let state = Rc::clone(&pipe);
    let close = source.on(R::CLOSE, move |()| {
        state.detach(source, destination);
        if options.close_on_error && !state.ended.get() {
            destination.close();
        }
    });
    pipe.on_source.set([data, end, close]);
    destination
}
