//! A stream whose output is its input, transformed or unchanged.

mod entry;
mod traits;

use std::cell::RefCell;
use std::error::Error as StdError;
use std::marker::PhantomData;
use std::task::Context;

use bytes::Bytes;
use uptick_emitter::{emit, events};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, UseRemoteOrLoopHandle, catch};

use crate::chunk::Chunk;
use crate::contract::{ReadableStream, WritableStream};
use crate::error::Error;
use crate::pipe::PipeOptions;
use crate::transport::HARD_LIMIT;
pub(crate) use entry::{AdapterRole, NextOutput};
use entry::{ThroughEntry, ThroughEvent, ThroughState};

/// The error of a transform: any error, or a text.
pub type TransformError = Box<dyn StdError + Send + Sync>;

/// The transformation of the data in a [`ThroughStream`].
pub trait Transform: 'static {
    /// Returns the output for `chunk`; empty bytes produce no `data`.
    ///
    /// # Errors
    /// An error fails the stream.
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError>;

    /// Returns the final output, after the end of the input. The default returns none.
    ///
    /// # Errors
    /// An error fails the stream.
    fn flush(&mut self) -> Result<Bytes, TransformError> {
        Ok(Bytes::new())
    }
}

/// A duplex stream whose output is its input, transformed or unchanged.
///
/// A `Copy` handle; the thread owns the stream until it closes. Written data is emitted as `data` before
/// [`write`](ThroughStream::write) returns, if there is a listener and the stream is not paused; otherwise it is buffered,
/// and `write` returns `false` until `drain`. The events are `data`, `end`, `drain`, `pipe`, `error` and `close`; see
/// [`ReadableStream`] and [`WritableStream`]. It does not keep the loop running.
///
/// If a transform fails or panics, or a callback panics, the stream emits `error` and closes.
///
/// # Limits
/// It buffers at most 16 MiB: with that much buffered, a write drops its chunk, and the stream emits `error` and closes.
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
    /// `None` if the thread's table was full, or the thread is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl ThroughStream {
        Bytes => {
            /// Emitted for each output chunk.
            DATA = "data";
        }
        () => {
            /// Emitted after the last output chunk.
            END = "end";
            /// Emitted when the buffer is empty again, after `write` returned `false`.
            DRAIN = "drain";
            /// Emitted when a stream is piped into this one.
            PIPE = "pipe";
            /// Emitted when the stream is closed.
            CLOSE = "close";
        }
        Error => {
            /// Emitted when the transform or a callback failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

#[derive(Default)]
struct ThroughStreams {
    table: Table<ThroughEntry>,
    driver: Option<DriverId>,
}

thread_local! {
    static STREAMS: RefCell<ThroughStreams> = RefCell::default();
}

/// Maximum number of chunks emitted in one go, so that a listener that writes to its own stream does not stop the loop.
const BUDGET: usize = 64;

struct ClosureTransform<F>(F);

impl<F: FnMut(Bytes) -> Result<Bytes, TransformError> + 'static> Transform for ClosureTransform<F> {
    fn transform(&mut self, chunk: Bytes) -> Result<Bytes, TransformError> {
        (self.0)(chunk)
    }
}

struct StatefulTransform<S, T, F> {
    state: S,
    transform: T,
    flush: F,
}

impl<S, T, F> Transform for StatefulTransform<S, T, F>
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
    /// Creates a stream that emits written data unchanged; on a thread that is ending it is closed from the start.
    pub fn new() -> Self {
        Self::create(None, AdapterRole::None, 1)
    }

    /// Creates a stream that converts each chunk with `transform`.
    ///
    /// The closure returns any error, or a text: `Err("no such line".into())`.
    pub fn with(transform: impl FnMut(Bytes) -> Result<Bytes, TransformError> + 'static) -> Self {
        Self::with_transform(ClosureTransform(transform))
    }

    /// Creates a stream with a transform that can also produce output at the end.
    pub fn with_transform(transform: impl Transform) -> Self {
        Self::create(Some(Box::new(transform)), AdapterRole::None, 1)
    }

    /// Creates a stream with a state that converts each chunk with `transform`, and emits the result of `flush` at the end.
    ///
    /// # Examples
    /// Chunks of a fixed size, and the remainder at the end:
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use uptick_emitter::Emitter;
    /// use uptick_stream::ThroughStream;
    ///
    /// let blocks = ThroughStream::with_flush(
    ///     BytesMut::new(),
    ///     |buffer, chunk| {
    ///         buffer.extend_from_slice(&chunk);
    ///         Ok(buffer.split_to(buffer.len() / 4 * 4).freeze())
    ///     },
    ///     |buffer| Ok(buffer.split().freeze()),
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
        Self::with_transform(StatefulTransform {
            state,
            transform,
            flush,
        })
    }

    pub(crate) fn for_adapter(role: AdapterRole, soft_limit: usize) -> Self {
        Self::create(None, role, soft_limit)
    }

    fn create(transform: Option<Box<dyn Transform>>, role: AdapterRole, soft_limit: usize) -> Self {
        let entry = ThroughEntry {
            transform,
            soft_limit,
            state: ThroughState {
                role,
                ..ThroughState::default()
            },
            ..ThroughEntry::default()
        };
        ThroughStream {
            id: STREAMS
                .try_with(|streams| streams.borrow_mut().table.insert(entry))
                .ok()
                .flatten(),
            local: PhantomData,
        }
    }

    /// Writes bytes: text, slices, vectors, [`Bytes`].
    ///
    /// Returns `false` if data is buffered because no listener takes it; `drain` follows. Also returns `false`, without a
    /// later `drain`, if the stream is not writable: it is ending, closed or gone.
    pub fn write(self, chunk: impl Chunk) -> bool {
        self.is_writable() && self.push(chunk)
    }

    /// Emits the buffered data, then `end`, and closes.
    pub fn end(self) {
        if self.is_writable() {
            self.finish();
        }
    }

    /// Writes `chunk`, then calls [`end`](ThroughStream::end).
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Closes at once: buffered data is lost. `close` listeners run before this returns.
    pub fn close(self) {
        let first = self.entry(|entry| !std::mem::replace(&mut entry.state.closing, true));
        if first != Some(true) {
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

    /// Resumes `data` and `end`; without a `data` listener the data is discarded.
    pub fn resume(self) {
        self.entry(|entry| {
            entry.state.paused = false;
            entry.state.flowing = true;
        });
        self.schedule();
    }

    /// Returns whether `data` may still be emitted.
    pub fn is_readable(self) -> bool {
        self.entry(|entry| {
            let state = &entry.state;
            state.role != AdapterRole::Target && !state.ended && !state.closing
        })
        .unwrap_or(false)
    }

    /// Returns whether [`write`](ThroughStream::write) accepts data.
    pub fn is_writable(self) -> bool {
        self.entry(|entry| {
            let state = &entry.state;
            state.role != AdapterRole::Source && !state.ending && !state.closing
        })
        .unwrap_or(false)
    }

    /// Returns whether the stream is open: `false` once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
    }

    /// Returns the number of buffered bytes.
    pub fn buffered(self) -> usize {
        self.entry(|entry| entry.buffered).unwrap_or(0)
    }

    /// Writes all output to `destination`: see [`ReadableStream::pipe`].
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// Like [`pipe`](Self::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }

    fn entry<R>(self, f: impl FnOnce(&mut ThroughEntry) -> R) -> Option<R> {
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

    /// Accepts a chunk from the user or from an adapter.
    pub(crate) fn push(self, chunk: impl Chunk) -> bool {
        if chunk.as_slice().is_empty() {
            return self.has_room();
        }
        let full = self.entry(|entry| entry.buffered >= HARD_LIMIT);
        if full == Some(true) {
            self.fail(Error::BufferFull { limit: HARD_LIMIT });
            return false;
        }
        let chunk = chunk.into_bytes();
        self.entry(|entry| entry.accept(chunk));
        self.wake();
        self.transform();
        self.deliver();
        self.has_room()
    }

    /// Ends the writing side, for the user or for an adapter.
    pub(crate) fn finish(self) {
        self.entry(|entry| entry.state.ending = true);
        self.transform();
        self.wake();
        self.deliver();
    }

    /// Fails the stream after everything that was pushed has been emitted.
    pub(crate) fn fail_after_output(self, error: Error) {
        self.entry(|entry| entry.failure = Some(error));
        self.deliver();
    }

    /// Registers the task for a wake-up on input, output and close; returns `false` if the stream is gone.
    pub(crate) fn notify(self, context: &Context<'_>) -> bool {
        let waker = context.waker().clone();
        self.entry(|entry| entry.waker = Some(waker)).is_some()
    }

    /// Returns whether the buffer has reached the soft limit.
    pub(crate) fn is_full(self) -> bool {
        self.entry(|entry| entry.buffered >= entry.soft_limit) == Some(true)
    }

    /// Takes the next output, for the target of an adapter.
    pub(crate) fn take(self) -> NextOutput {
        let taken = self.entry(|entry| match entry.outgoing.pop_front() {
            Some(chunk) => {
                entry.buffered -= chunk.len();
                NextOutput::Chunk(chunk)
            }
            None if entry.state.flushed => NextOutput::End,
            None => NextOutput::Pending,
        });
        self.emit_drain();
        taken.unwrap_or(NextOutput::Pending)
    }

    fn wake(self) {
        if let Some(Some(waker)) = self.entry(|entry| entry.waker.take()) {
            waker.wake();
        }
    }

    /// Emits `drain` if it is due. Returns `false` if a listener panicked, which fails the stream.
    fn emit_drain(self) -> bool {
        let drained = self.entry(|entry| {
            let state = &mut entry.state;
            let drained = state.full && entry.buffered < entry.soft_limit;
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

    /// Returns whether the buffer is below the soft limit; otherwise `drain` becomes due.
    fn has_room(self) -> bool {
        self.entry(|entry| {
            let state = &mut entry.state;
            state.full |= entry.buffered >= entry.soft_limit;
            !state.full && !state.ending && !state.closing
        })
        .unwrap_or(false)
    }

    /// Transforms the incoming data, and flushes the transform after the end of the input.
    fn transform(self) {
        while let Some(input) = self.entry(ThroughEntry::next_input).flatten() {
            let (mut transform, chunk) = input;
            let last = chunk.is_none();
            let result = catch(|| match chunk {
                Some(chunk) => transform.transform(chunk),
                None => transform.flush(),
            });
            let back = self.entry(|entry| {
                entry.state.transforming = false;
                if let Ok(Ok(bytes)) = &result {
                    entry.push_output(bytes.clone());
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

    /// Emits buffered data as long as there is a listener, or `resume` was called.
    fn deliver(self) {
        for _ in 0..BUDGET {
            let Some(Some(event)) = self.entry(ThroughEntry::next_event) else {
                return;
            };
            let result = catch(|| match event {
                ThroughEvent::Data(bytes) => emit(&self, Self::DATA, bytes),
                ThroughEvent::End => emit(&self, Self::END, ()),
                ThroughEvent::Fail(error) => {
                    self.fail(error);
                    true
                }
            });
            self.entry(|entry| entry.state.delivering = false);
            self.wake();
            if let Err(message) = result {
                return self.panicked(&message);
            }
            if !self.emit_drain() {
                return;
            }
            if self.entry(|entry| entry.state.ended) == Some(true) {
                return self.close();
            }
        }
        self.schedule();
    }

    /// Schedules the delivery of the buffered data for the next iteration.
    fn schedule(self) {
        let Some(id) = self.id else { return };
        let needed = self.entry(|entry| {
            let state = &mut entry.state;
            let needed = !entry.outgoing.is_empty()
                || entry.failure.is_some()
                || (state.flushed && !state.ended);
            needed && !std::mem::replace(&mut state.scheduled, true)
        });
        if needed != Some(true) {
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
