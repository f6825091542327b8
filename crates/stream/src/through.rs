//! A stream whose output is what was written to it, transformed or as it is.

mod entry;

use std::cell::RefCell;
use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, Listeners, emit, events};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, UseRemoteOrLoopHandle, catch};

use crate::chunk::Chunk;
use crate::contract::{BaseStream, DuplexStream, ReadableStream, WritableStream};
use crate::error::Error;
use crate::pipe::PipeOptions;
use crate::transport::HARD_LIMIT;
use entry::{Entry, State, Step};
pub(crate) use entry::{Plumbing, Taken};

/// What a transform may fail with: any error, also a text.
pub type TransformError = Box<dyn StdError + Send + Sync>;

/// What a [`ThroughStream`] does to the data on its way.
pub trait Transform: 'static {
    /// Gives what comes out for what went in; nothing comes out for empty bytes.
    ///
    /// # Errors
    /// Fails the stream.
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError>;

    /// Gives what comes out last, behind the end of what went in. The default gives nothing.
    ///
    /// # Errors
    /// Fails the stream.
    fn flush(&mut self) -> Result<Bytes, TransformError> {
        Ok(Bytes::new())
    }
}

/// A duplex stream whose output is its input, transformed or as it is.
///
/// A `Copy` handle; the thread owns the stream until it closes. What is written comes out as `data` before
/// [`write`](ThroughStream::write) returns, while somebody wants it; otherwise it is held, and `write` gives `false`
/// until `drain`. The events are `data`, `end`, `drain`, `pipe`, `error` and `close`; see [`ReadableStream`] and
/// [`WritableStream`]. It does not keep the loop running.
///
/// A transform that fails or panics, and a callback that panics, give an `error`, and the stream closes.
///
/// # Limits
/// It holds 16 MiB at most: a write that finds them waiting is not taken, the stream gets an `error` and closes.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use uptick_emitter::Emitter;
/// use uptick_stream::ThroughStream;
///
/// let shout = ThroughStream::with(|chunk| Ok(chunk.to_ascii_uppercase().into()));
/// shout.on("data", |chunk: Bytes| assert_eq!(chunk, "HELLO"));
/// shout.write("hello");
/// shout.end();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThroughStream {
    /// `None` when the thread had no room for it, or is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl ThroughStream {
        Bytes => {
            /// Something comes out.
            DATA = "data";
        }
        () => {
            /// Everything has come out.
            END = "end";
            /// Everything that was held has come out, after `write` gave `false`.
            DRAIN = "drain";
            /// A stream is piped into this one.
            PIPE = "pipe";
            /// The stream is over.
            CLOSE = "close";
        }
        Error => {
            /// The transform or a callback failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

#[derive(Default)]
struct Streams {
    table: Table<Entry>,
    driver: Option<DriverId>,
}

thread_local! {
    static STREAMS: RefCell<Streams> = RefCell::default();
}

/// How much is handed on in one go: a listener that writes to the stream it listens to does not stop the loop.
const BUDGET: usize = 64;

struct Closure<F>(F);

impl<F: FnMut(Bytes) -> Result<Bytes, TransformError> + 'static> Transform for Closure<F> {
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError> {
        (self.0)(chunk)
    }
}

struct Stateful<S, T, F> {
    state: S,
    transform: T,
    flush: F,
}

impl<S, T, F> Transform for Stateful<S, T, F>
where
    S: 'static,
    T: FnMut(&mut S, Bytes) -> Result<Bytes, TransformError> + 'static,
    F: FnMut(&mut S) -> Result<Bytes, TransformError> + 'static,
{
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError> {
        (self.transform)(&mut self.state, chunk)
    }

    fn flush(&mut self) -> Result<Bytes, TransformError> {
        (self.flush)(&mut self.state)
    }
}

impl ThroughStream {
    /// Makes a stream that hands on what is written as it is; on a thread that is ending it is closed from the beginning.
    pub fn new() -> Self {
        Self::make(None, Plumbing::None, 1)
    }

    /// Makes a stream that puts each chunk through `transform`.
    ///
    /// An error of it is any error, or a text: `Err("no such line".into())`.
    pub fn with(transform: impl FnMut(Bytes) -> Result<Bytes, TransformError> + 'static) -> Self {
        Self::with_transform(Closure(transform))
    }

    /// Makes a stream with a transform that has something to say at the end too.
    pub fn with_transform(transform: impl Transform) -> Self {
        Self::make(Some(Box::new(transform)), Plumbing::None, 1)
    }

    /// Makes a stream with a state that puts each chunk through `transform`, and at the end emits what `flush` returns.
    ///
    /// # Examples
    /// Chunks of a fixed size, and a rest at the end:
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use uptick_emitter::Emitter;
    /// use uptick_stream::ThroughStream;
    ///
    /// let blocks = ThroughStream::with_flush(
    ///     BytesMut::new(),
    ///     |held, chunk| {
    ///         held.extend_from_slice(&chunk);
    ///         Ok(held.split_to(held.len() / 4 * 4).freeze())
    ///     },
    ///     |held| Ok(held.split().freeze()),
    /// );
    /// blocks.on("data", |block: Bytes| println!("{block:?}"));
    /// blocks.write("12345"); // "1234"
    /// blocks.end(); // "5"
    /// ```
    pub fn with_flush<S: 'static>(
        state: S,
        transform: impl FnMut(&mut S, Bytes) -> Result<Bytes, TransformError> + 'static,
        flush: impl FnMut(&mut S) -> Result<Bytes, TransformError> + 'static,
    ) -> Self {
        Self::with_transform(Stateful {
            state,
            transform,
            flush,
        })
    }

    pub(crate) fn plumbing(plumbing: Plumbing, soft_limit: usize) -> Self {
        Self::make(None, plumbing, soft_limit)
    }

    fn make(transform: Option<Box<dyn Transform>>, plumbing: Plumbing, soft_limit: usize) -> Self {
        let entry = Entry {
            transform,
            soft_limit,
            state: State {
                plumbing,
                ..State::default()
            },
            ..Entry::default()
        };
        ThroughStream {
            id: STREAMS
                .try_with(|streams| streams.borrow_mut().table.insert(entry))
                .ok()
                .flatten(),
            local: PhantomData,
        }
    }

    /// Writes: text, slices, vectors, [`Bytes`].
    ///
    /// `false` when something is held because nobody takes it: `drain` follows. `false` without a `drain` to come says
    /// that the stream takes nothing: it is ending, closed or gone.
    pub fn write(self, chunk: impl Chunk) -> bool {
        self.is_writable() && self.push(chunk)
    }

    /// Hands on what is held, then emits `end` and closes.
    pub fn end(self) {
        if self.is_writable() {
            self.finish();
        }
    }

    /// Writes, then [`end`](ThroughStream::end)s.
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Closes at once: what is held is lost. `close` listeners run before this returns.
    pub fn close(self) {
        let closes = self.entry(|entry| !std::mem::replace(&mut entry.state.closing, true));
        if closes != Some(true) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
        self.wake();
        let id = self.id;
        let entry = STREAMS.try_with(|streams| streams.borrow_mut().table.remove(id?));
        if let Err(message) = catch(|| drop(entry)) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
    }

    /// Stops `data` and `end` until [`resume`](ThroughStream::resume).
    pub fn pause(self) {
        self.entry(|entry| {
            entry.state.paused = true;
            entry.state.flowing = false;
        });
    }

    /// Lets `data` and `end` come; without a `data` listener the data is discarded.
    pub fn resume(self) {
        self.entry(|entry| {
            entry.state.paused = false;
            entry.state.flowing = true;
        });
        self.schedule();
    }

    /// Whether `data` may still come.
    pub fn is_readable(self) -> bool {
        self.entry(|entry| {
            let state = &entry.state;
            state.plumbing != Plumbing::Target && !state.ended && !state.closing
        })
        .unwrap_or(false)
    }

    /// Whether [`write`](ThroughStream::write) takes anything.
    pub fn is_writable(self) -> bool {
        self.entry(|entry| {
            let state = &entry.state;
            state.plumbing != Plumbing::Source && !state.ending && !state.closing
        })
        .unwrap_or(false)
    }

    /// Whether the stream is there: false once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
    }

    /// How many bytes are held.
    pub fn buffered(self) -> usize {
        self.entry(|entry| entry.held).unwrap_or(0)
    }

    /// Writes all that comes out to `destination`: see [`ReadableStream::pipe`].
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// As [`pipe`](Self::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }

    fn entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let id = self.id?;
        STREAMS
            .try_with(|streams| streams.borrow_mut().table.get_mut(id).map(f))
            .ok()?
    }

    /// Emits `error`, then closes.
    pub(crate) fn fail(self, error: Error) {
        if self.entry(|entry| entry.state.closing) != Some(false) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::ERROR, error)) {
            tracing::error!("a callback panicked as its stream failed: {message}");
        }
        self.close();
    }

    fn panicked(self, message: &str) {
        self.fail(Error::Panic {
            message: message.into(),
        });
    }

    /// Takes a chunk in, whoever writes it.
    pub(crate) fn push(self, chunk: impl Chunk) -> bool {
        if chunk.as_slice().is_empty() {
            return self.has_room();
        }
        let over = self.entry(|entry| entry.held >= HARD_LIMIT);
        if over == Some(true) {
            self.fail(Error::BufferFull { limit: HARD_LIMIT });
            return false;
        }
        let chunk = chunk.into_bytes();
        self.entry(|entry| entry.take_in(chunk));
        self.wake();
        self.transform();
        self.deliver();
        self.has_room()
    }

    /// Ends the writing side, whoever writes.
    pub(crate) fn finish(self) {
        self.entry(|entry| entry.state.ending = true);
        self.transform();
        self.wake();
        self.deliver();
    }

    /// Fails the stream once everything that was pushed has come out.
    pub(crate) fn fail_behind(self, error: Error) {
        self.entry(|entry| entry.failure = Some(error));
        self.deliver();
    }

    /// Has the task woken when something comes in or goes out, or the stream closes; gives whether it is there.
    pub(crate) fn notify(self, context: &Context<'_>) -> bool {
        let waker = context.waker().clone();
        self.entry(|entry| entry.waker = Some(waker)).is_some()
    }

    /// Whether as much is held as the soft limit, or more.
    pub(crate) fn is_full(self) -> bool {
        self.entry(|entry| entry.held >= entry.soft_limit) == Some(true)
    }

    /// Takes what is to go out next, for an adapter's target.
    pub(crate) fn take(self) -> Taken {
        let taken = self.entry(|entry| match entry.outgoing.pop_front() {
            Some(chunk) => {
                entry.held -= chunk.len();
                Taken::Chunk(chunk)
            }
            None if entry.state.flushed => Taken::End,
            None => Taken::Nothing,
        });
        self.drained();
        taken.unwrap_or(Taken::Nothing)
    }

    fn wake(self) {
        if let Some(Some(waker)) = self.entry(|entry| entry.waker.take()) {
            waker.wake();
        }
    }

    /// Emits `drain` if it is owed and there is room. Gives false when the stream has failed by it.
    fn drained(self) -> bool {
        let drained = self.entry(|entry| {
            let state = &mut entry.state;
            let drained = state.full && entry.held < entry.soft_limit;
            state.full &= !drained;
            drained && !state.ending && !state.closing
        });
        if drained == Some(true)
            && let Err(message) = catch(|| emit(&self, Self::DRAIN, ()))
        {
            self.panicked(&message);
            return false;
        }
        true
    }

    /// Whether less is held than the soft limit; notes that `drain` is owed otherwise.
    fn has_room(self) -> bool {
        self.entry(|entry| {
            let state = &mut entry.state;
            state.full |= entry.held >= entry.soft_limit;
            !state.full && !state.ending && !state.closing
        })
        .unwrap_or(false)
    }

    /// Puts what has come in through the transform, and its last words behind the end.
    fn transform(self) {
        while let Some(work) = self.entry(Entry::next_work).flatten() {
            let (mut transform, chunk) = work;
            let last = chunk.is_none();
            let result = catch(|| match chunk {
                Some(chunk) => transform.transform(chunk),
                None => transform.flush(),
            });
            let back = self.entry(|entry| {
                entry.state.transforming = false;
                if let Ok(Ok(bytes)) = &result {
                    entry.hold(bytes.clone());
                    entry.state.flushed |= last;
                }
                entry.transform.replace(transform)
            });
            drop(back);
            match result {
                Ok(Ok(_)) => {}
                Ok(Err(source)) => self.fail(Error::Transform {
                    source: source.into(),
                }),
                Err(message) => self.panicked(&message),
            }
        }
    }

    /// Emits what is held for as long as it is wanted.
    fn deliver(self) {
        for _ in 0..BUDGET {
            let Some(Some(step)) = self.entry(Entry::next_step) else {
                return;
            };
            let result = catch(|| match step {
                Step::Data(bytes) => emit(&self, Self::DATA, bytes),
                Step::End => emit(&self, Self::END, ()),
                Step::Fail(error) => {
                    self.fail(error);
                    true
                }
            });
            self.entry(|entry| entry.state.delivering = false);
            self.wake();
            if let Err(message) = result {
                return self.panicked(&message);
            }
            if !self.drained() {
                return;
            }
            if self.entry(|entry| entry.state.ended) == Some(true) {
                return self.close();
            }
        }
        self.schedule();
    }

    /// Has what is held delivered in the next iteration.
    fn schedule(self) {
        let Some(id) = self.id else { return };
        let waits = self.entry(|entry| {
            let state = &mut entry.state;
            let waits = !entry.outgoing.is_empty()
                || entry.failure.is_some()
                || (state.flushed && !state.ended);
            waits && !std::mem::replace(&mut state.scheduled, true)
        });
        if waits != Some(true) {
            return;
        }
        let token = STREAMS.try_with(|streams| {
            let driver = &mut streams.borrow_mut().driver;
            id.token(*driver.get_or_insert_with(|| driver::register(&ThroughDriver)))
        });
        if let Ok(token) = token {
            driver::ready_later(token, Readiness::empty());
        }
    }
}

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

struct ThroughDriver;

impl ThroughDriver {
    fn find(token: Token) -> Option<ThroughStream> {
        let found = STREAMS.try_with(|streams| streams.borrow().table.find(token));
        found.ok()?.map(|id| ThroughStream {
            id: Some(id),
            local: PhantomData,
        })
    }
}

impl Driver for ThroughDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(stream) = Self::find(token) {
            stream.entry(|entry| entry.state.scheduled = false);
            stream.deliver();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some(stream) = Self::find(token) {
            stream.panicked(message);
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

    /// It has no peer: whether somebody reads changes nothing for those who write.
    fn set_allow_half_open(self, _: bool) {}
}

impl fmt::Debug for ThroughStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThroughStream").field(&self.id).finish()
    }
}
