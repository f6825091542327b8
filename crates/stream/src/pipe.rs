//! Pipes: the data of one stream written to another, at the pace of the slower one.

use std::cell::Cell;
use std::rc::Rc;

use uptick_emitter::{Emitter, Event, ListenerId, emit};

use crate::contract::{ReadableStream, WritableStream};

/// Options of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeOptions {
    /// If `true`, the source's `end` ends the destination. Default: true.
    pub end: bool,
    /// If `true`, the destination is closed when the source closes without an `end`, as after an `error`. Default: false.
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

/// The state shared by the listeners of a pipe.
struct PipeState {
    on_source: Cell<[ListenerId; 3]>,
    on_destination: Cell<[ListenerId; 2]>,
    /// `true` while the source is paused until the destination has drained.
    waiting_for_drain: Cell<bool>,
    ended: Cell<bool>,
}

/// The source of a pipe of any data type.
pub(crate) struct PipeSource<R: Emitter, T> {
    pub(crate) data: Event<R::Events, T>,
    pub(crate) end: Event<R::Events, ()>,
    pub(crate) close: Event<R::Events, ()>,
    pub(crate) is_readable: fn(R) -> bool,
    pub(crate) pause: fn(R),
    pub(crate) resume: fn(R),
}

/// The destination of a pipe.
pub(crate) struct PipeDestination<W: Emitter, T> {
    pub(crate) drain: Event<W::Events, ()>,
    pub(crate) pipe: Event<W::Events, ()>,
    pub(crate) close: Event<W::Events, ()>,
    pub(crate) is_writable: fn(W) -> bool,
    pub(crate) write: fn(W, T) -> bool,
    pub(crate) end: fn(W),
    pub(crate) close_now: fn(W),
}

impl PipeState {
    fn detach(&self, source: &impl Emitter, destination: &impl Emitter) {
        for id in self.on_source.replace([ListenerId::NONE; 3]) {
            source.off(id);
        }
        for id in self.on_destination.replace([ListenerId::NONE; 2]) {
            destination.off(id);
        }
    }
}

/// Pipes `source` into `destination`; see [`ReadableStream::pipe`].
pub(crate) fn pipe<R: ReadableStream, W: WritableStream>(
    source: R,
    destination: W,
    options: PipeOptions,
) -> W {
    let from = PipeSource {
        data: R::DATA,
        end: R::END,
        close: R::CLOSE,
        is_readable: R::is_readable,
        pause: R::pause,
        resume: R::resume,
    };
    let to = PipeDestination {
        drain: W::DRAIN,
        pipe: W::PIPE,
        close: W::CLOSE,
        is_writable: W::is_writable,
        write: W::write,
        end: W::end,
        close_now: W::close,
    };
    connect_pipe(source, from, destination, to, options)
}

/// Pipes data of any type.
pub(crate) fn connect_pipe<R, W, T>(
    source: R,
    from: PipeSource<R, T>,
    destination: W,
    to: PipeDestination<W, T>,
    options: PipeOptions,
) -> W
where
    R: Emitter + Copy + 'static,
    W: Emitter + Copy + 'static,
    T: Clone + 'static,
{
    let PipeSource { pause, resume, .. } = from;
    if !(from.is_readable)(source) {
        return destination;
    }
    if !(to.is_writable)(destination) {
        pause(source);
        return destination;
    }
    let pipe = Rc::new(PipeState {
        on_source: Cell::new([ListenerId::NONE; 3]),
        on_destination: Cell::new([ListenerId::NONE; 2]),
        waiting_for_drain: Cell::new(false),
        ended: Cell::new(false),
    });
    emit(&destination, to.pipe, ());
    if !(to.is_writable)(destination) {
        pause(source);
        return destination;
    }

    let state = Rc::clone(&pipe);
    let drain = destination.on(to.drain, move |()| {
        if state.waiting_for_drain.replace(false) {
            resume(source);
        }
    });
    let state = Rc::clone(&pipe);
    let closed = destination.on(to.close, move |()| {
        state.detach(&source, &destination);
        pause(source);
    });
    pipe.on_destination.set([drain, closed]);

    let state = Rc::clone(&pipe);
    let data = source.on(from.data, move |chunk: T| {
        if !(to.write)(destination, chunk) {
            state.waiting_for_drain.set(true);
            pause(source);
        }
    });
    let state = Rc::clone(&pipe);
    let end = source.on(from.end, move |()| {
        state.ended.set(true);
        if options.end {
            (to.end)(destination);
        }
    });
    let state = Rc::clone(&pipe);
    let close = source.on(from.close, move |()| {
        state.detach(&source, &destination);
        if options.close_on_error && !state.ended.get() {
            (to.close_now)(destination);
        }
    });
    pipe.on_source.set([data, end, close]);
    destination
}
