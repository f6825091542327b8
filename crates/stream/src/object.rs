//! A stream of values of any type, with an optional conversion.

mod traits;

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use uptick_emitter::{Emitter, Event, Listeners, emit};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, catch};

use crate::error::Error;
use crate::pipe::{PipeDestination, PipeOptions, PipeSource, connect_pipe};
use crate::through::TransformError;

/// The soft limit of an [`ObjectStream`]: from this number of buffered values on, `write` returns `false`.
const SOFT_LIMIT: usize = 16;
/// The hard limit of an [`ObjectStream`]: with this number of buffered values, a write fails.
const HARD_LIMIT: usize = 65_536;
/// Maximum number of values emitted in one go, so that a listener that writes to its own stream does not stop the loop.
const BUDGET: usize = 64;

/// A conversion of the values in an [`ObjectStream`]: of one value into none, one or several.
pub trait ObjectTransform<In, Out>: 'static {
    /// Converts `value` and pushes the results to `output`.
    ///
    /// # Errors
    /// An error fails the stream.
    fn transform(&mut self, value: In, output: &mut VecDeque<Out>) -> Result<(), TransformError>;

    /// Pushes the final values to `output`, after the end of the input. The default pushes nothing.
    ///
    /// # Errors
    /// An error fails the stream.
    fn flush(&mut self, output: &mut VecDeque<Out>) -> Result<(), TransformError> {
        let _ = output;
        Ok(())
    }
}

/// A stream of values: each written `In` is emitted as an `Out`.
///
/// The counterpart of [`ThroughStream`](crate::ThroughStream) for values. A `Copy` handle; the thread owns the stream until
/// it closes. If `Out` is [`Bytes`](bytes::Bytes), it is a [`ReadableStream`](crate::ReadableStream) and can be piped into a
/// connection; values of other types are piped with [`pipe_objects`](ObjectStream::pipe_objects). The event key of the
/// values is [`DATA`](ObjectStream::DATA); the other events can be named by strings too: `end`, `drain`, `pipe`, `error` and
/// `close`.
///
/// # Limits
/// From 16 buffered values on, `write` returns `false` until `drain`. With 65,536 buffered values, the value is dropped, the
/// stream emits `error` and closes.
///
/// # Examples
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_stream::{LineStream, ObjectStream, ThroughStream, TransformError};
///
/// let numbers = ObjectStream::with(|line: bytes::Bytes| {
///     let line = std::str::from_utf8(&line)?;
///     Ok::<u32, TransformError>(line.parse()?)
/// });
/// numbers.on(ObjectStream::DATA, |number: u32| assert_eq!(number, 42));
///
/// let input = ThroughStream::new();
/// LineStream::new(input).pipe_objects(numbers);
/// input.end_with("42\n");
/// ```
pub struct ObjectStream<In, Out = In> {
    id: Option<Id>,
    types: PhantomData<*const (In, Out)>,
}

struct ObjectEntry {
    listeners: Listeners,
    /// The [`ObjectQueues<In, Out>`](ObjectQueues) of the stream.
    values: Box<dyn Any>,
    deliver: fn(Id),
    fail: fn(Id, Error),
    buffered: usize,
    state: ObjectState,
}

struct ObjectQueues<In, Out> {
    /// `None` while the transform runs.
    transform: Option<Box<dyn ObjectTransform<In, Out>>>,
    incoming: VecDeque<In>,
    outgoing: VecDeque<Out>,
}

#[derive(Default)]
struct ObjectState {
    transforming: bool,
    delivering: bool,
    scheduled: bool,
    paused: bool,
    /// Set by `resume`: values are emitted without a listener too.
    flowing: bool,
    /// `write` returned `false`, so `drain` must be emitted.
    full: bool,
    ending: bool,
    /// Set when everything is transformed; `end` follows the buffered values.
    flushed: bool,
    ended: bool,
    closing: bool,
}

enum ObjectEvent<Out> {
    Data(Out),
    End,
}

#[derive(Default)]
struct ObjectStreams {
    table: Table<ObjectEntry>,
    driver: Option<DriverId>,
}

thread_local! {
    static STREAMS: RefCell<ObjectStreams> = RefCell::default();
}

struct ClosureTransform<F>(F);

impl<In, Out, F> ObjectTransform<In, Out> for ClosureTransform<F>
where
    F: FnMut(In) -> Result<Out, TransformError> + 'static,
{
    fn transform(&mut self, value: In, output: &mut VecDeque<Out>) -> Result<(), TransformError> {
        output.push_back((self.0)(value)?);
        Ok(())
    }
}

impl<T: Clone + 'static> ObjectStream<T> {
    /// Creates a stream that emits values unchanged.
    pub fn new() -> Self {
        ObjectStream::with(Ok)
    }
}

impl<T: Clone + 'static> Default for ObjectStream<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize + Clone + 'static> ObjectStream<T, bytes::Bytes> {
    /// Creates a stream that encodes each value as a line of JSON (NDJSON), for a pipe into a connection.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use uptick_emitter::Emitter;
    /// use uptick_stream::ObjectStream;
    ///
    /// let points = ObjectStream::json_lines();
    /// points.on("data", |line: Bytes| assert_eq!(line, "[1,2]\n"));
    /// points.write((1, 2));
    /// ```
    pub fn json_lines() -> Self {
        ObjectStream::with(|value: T| {
            let mut line = serde_json::to_vec(&value)?;
            line.push(b'\n');
            Ok(line.into())
        })
    }
}

impl<In: 'static, Out: Clone + 'static> ObjectStream<In, Out> {
    /// Emitted for each value.
    pub const DATA: Event<Self, Out> = Event::new("data", DATA);
    /// Emitted after the last value.
    pub const END: Event<Self, ()> = Event::new("end", 1);
    /// Emitted when the number of buffered values falls below the soft limit, after `write` returned `false`.
    pub const DRAIN: Event<Self, ()> = Event::new("drain", 2);
    /// Emitted when a stream is piped into this one.
    pub const PIPE: Event<Self, ()> = Event::new("pipe", 3);
    /// Emitted when the stream is closed.
    pub const CLOSE: Event<Self, ()> = Event::new("close", 4);
    /// Emitted when the transform or a callback failed; `close` follows.
    pub const ERROR: Event<Self, Error> = Event::new("error", 5).warn();

    /// Creates a stream that converts each value with `transform`.
    ///
    /// The closure returns any error, or a text: `Err("no such line".into())`.
    pub fn with(transform: impl FnMut(In) -> Result<Out, TransformError> + 'static) -> Self {
        Self::with_transform(ClosureTransform(transform))
    }

    /// Creates a stream with a transform that drops values, multiplies them, or adds values at the end.
    ///
    /// On a thread that is ending, the stream is closed from the start.
    pub fn with_transform(transform: impl ObjectTransform<In, Out>) -> Self {
        let values: ObjectQueues<In, Out> = ObjectQueues {
            transform: Some(Box::new(transform)),
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
        };
        let entry = ObjectEntry {
            listeners: Listeners::new(),
            values: Box::new(values),
            deliver: |id| Self::from_id(id).deliver_scheduled(),
            fail: |id, error| Self::from_id(id).fail(error),
            buffered: 0,
            state: ObjectState::default(),
        };
        let id = STREAMS.try_with(|streams| streams.borrow_mut().table.insert(entry));
        ObjectStream {
            id: id.ok().flatten(),
            types: PhantomData,
        }
    }

    fn from_id(id: Id) -> Self {
        ObjectStream {
            id: Some(id),
            types: PhantomData,
        }
    }

    /// Writes a value.
    ///
    /// Returns `false` if the number of buffered values has reached the soft limit; `drain` follows. Also returns `false`,
    /// without a later `drain`, if the stream is not writable: it is ending, closed or gone.
    pub fn write(self, value: In) -> bool {
        if !self.is_writable() {
            return false;
        }
        if self.entry(|entry| entry.buffered >= HARD_LIMIT) == Some(true) {
            self.fail(Error::TooManyValues { limit: HARD_LIMIT });
            return false;
        }
        self.values(|values, _, buffered| {
            values.incoming.push_back(value);
            *buffered += 1;
        });
        self.transform();
        self.deliver();
        self.entry(|entry| {
            entry.state.full |= entry.buffered >= SOFT_LIMIT;
            !entry.state.full && !entry.state.ending && !entry.state.closing
        })
        .unwrap_or(false)
    }

    /// Emits the buffered values, then `end`, and closes.
    pub fn end(self) {
        if self.is_writable() {
            self.entry(|entry| entry.state.ending = true);
            self.transform();
            self.deliver();
        }
    }

    /// Writes `value`, then calls [`end`](ObjectStream::end).
    pub fn end_with(self, value: In) {
        self.write(value);
        self.end();
    }

    /// Closes at once: buffered values are lost. `close` listeners run before this returns.
    pub fn close(self) {
        let first = self.entry(|entry| !std::mem::replace(&mut entry.state.closing, true));
        if first != Some(true) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
        let id = self.id;
        let entry = STREAMS.try_with(|streams| streams.borrow_mut().table.remove(id?));
        if let Err(message) = catch(|| drop(entry)) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
    }

    /// Stops `data` and `end` until [`resume`](ObjectStream::resume).
    pub fn pause(self) {
        self.entry(|entry| {
            entry.state.paused = true;
            entry.state.flowing = false;
        });
    }

    /// Resumes `data` and `end`; without a `data` listener the values are discarded.
    pub fn resume(self) {
        self.entry(|entry| {
            entry.state.paused = false;
            entry.state.flowing = true;
        });
        self.schedule();
    }

    /// Returns whether `data` may still be emitted.
    pub fn is_readable(self) -> bool {
        self.entry(|entry| !entry.state.ended && !entry.state.closing) == Some(true)
    }

    /// Returns whether [`write`](ObjectStream::write) accepts values.
    pub fn is_writable(self) -> bool {
        self.entry(|entry| !entry.state.ending && !entry.state.closing) == Some(true)
    }

    /// Returns whether the stream is open: `false` once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
    }

    /// Returns the number of buffered values.
    pub fn buffered(self) -> usize {
        self.entry(|entry| entry.buffered).unwrap_or(0)
    }

    /// Writes each emitted value to `destination`, at the pace of the destination, and ends the destination at the end.
    /// Returns `destination`.
    pub fn pipe_objects<T: Clone + 'static>(
        self,
        destination: ObjectStream<Out, T>,
    ) -> ObjectStream<Out, T> {
        let parts = PipeSource {
            data: Self::DATA,
            end: Self::END,
            close: Self::CLOSE,
            is_readable: Self::is_readable,
            pause: Self::pause,
            resume: Self::resume,
        };
        pipe_from(self, parts, destination)
    }

    fn entry<R>(self, f: impl FnOnce(&mut ObjectEntry) -> R) -> Option<R> {
        let id = self.id?;
        STREAMS
            .try_with(|streams| streams.borrow_mut().table.get_mut(id).map(f))
            .ok()?
    }

    fn values<R>(
        self,
        f: impl FnOnce(&mut ObjectQueues<In, Out>, &mut ObjectState, &mut usize) -> R,
    ) -> Option<R> {
        self.entry(|entry| {
            let values = entry.values.downcast_mut()?;
            Some(f(values, &mut entry.state, &mut entry.buffered))
        })
        .flatten()
    }

    fn fail(self, error: Error) {
        if self.entry(|entry| entry.state.closing) != Some(false) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::ERROR, error)) {
            tracing::error!("a callback panicked as its stream failed: {message}");
        }
        self.close();
    }

    fn panicked(self, message: String) {
        self.fail(Error::Panic {
            message: message.into(),
        });
    }

    /// Transforms the incoming values, and flushes the transform after the end of the input.
    fn transform(self) {
        loop {
            let work = self.values(|values, state, buffered| {
                let ends = state.ending && !state.flushed;
                let nothing = values.incoming.is_empty() && !ends;
                if state.transforming || state.closing || nothing {
                    return None;
                }
                let transform = values.transform.take()?;
                state.transforming = true;
                let value = values.incoming.pop_front();
                *buffered -= usize::from(value.is_some());
                Some((transform, value))
            });
            let Some(Some((mut transform, value))) = work else {
                return;
            };
            let (last, mut output) = (value.is_none(), VecDeque::new());
            let result = catch(|| match value {
                Some(value) => transform.transform(value, &mut output),
                None => transform.flush(&mut output),
            });
            let back = self.values(|values, state, buffered| {
                state.transforming = false;
                state.flushed |= last;
                *buffered += output.len();
                values.outgoing.append(&mut output);
                values.transform.replace(transform)
            });
            drop(back);
            match result {
                Ok(Ok(())) => {}
                Ok(Err(source)) => self.fail(Error::Transform {
                    source: source.into(),
                }),
                Err(message) => self.panicked(message.to_string()),
            }
        }
    }

    fn next_event(self) -> Option<ObjectEvent<Out>> {
        let wanted = self.entry(|entry| entry.state.flowing || entry.listeners.has(DATA))?;
        self.values(|values, state, buffered| {
            if state.delivering || state.closing || state.paused {
                return None;
            }
            if values.outgoing.is_empty() {
                if !state.flushed || state.ended {
                    return None;
                }
                state.ended = true;
                state.delivering = true;
                return Some(ObjectEvent::End);
            }
            if !wanted {
                return None;
            }
            state.delivering = true;
            *buffered -= 1;
            values.outgoing.pop_front().map(ObjectEvent::Data)
        })
        .flatten()
    }

    /// Emits buffered values as long as there is a listener, or `resume` was called.
    fn deliver(self) {
        for _ in 0..BUDGET {
            let Some(event) = self.next_event() else {
                return;
            };
            let result = catch(|| match event {
                ObjectEvent::Data(value) => emit(&self, Self::DATA, value),
                ObjectEvent::End => emit(&self, Self::END, ()),
            });
            let drained = self.entry(|entry| {
                let state = &mut entry.state;
                state.delivering = false;
                let drained = state.full && entry.buffered < SOFT_LIMIT;
                state.full &= !drained;
                drained && !state.ending && !state.closing
            });
            let result = match drained {
                Some(true) if result.is_ok() => catch(|| emit(&self, Self::DRAIN, ())),
                _ => result,
            };
            if let Err(message) = result {
                return self.panicked(message.to_string());
            }
            if self.entry(|entry| entry.state.ended) == Some(true) {
                return self.close();
            }
        }
        self.schedule();
    }

    fn deliver_scheduled(self) {
        self.entry(|entry| entry.state.scheduled = false);
        self.deliver();
    }

    /// Schedules the delivery of the buffered values for the next iteration.
    fn schedule(self) {
        let Some(id) = self.id else { return };
        let needed = self.values(|values, state, _| {
            let needed = !values.outgoing.is_empty() || (state.flushed && !state.ended);
            needed && !std::mem::replace(&mut state.scheduled, true)
        });
        if needed != Some(true) {
            return;
        }
        let token = STREAMS.try_with(|streams| {
            let driver = &mut streams.borrow_mut().driver;
            id.token(*driver.get_or_insert_with(|| driver::register(&ObjectDriver)))
        });
        if let Ok(token) = token {
            driver::ready_later(token, Readiness::empty());
        }
    }
}

const DATA: u8 = 0;

/// Pipes values into an object stream.
pub(crate) fn pipe_from<R, In, Out>(
    source: R,
    from: PipeSource<R, In>,
    destination: ObjectStream<In, Out>,
) -> ObjectStream<In, Out>
where
    R: Emitter + Copy + 'static,
    In: Clone + 'static,
    Out: Clone + 'static,
{
    let to = PipeDestination {
        drain: ObjectStream::DRAIN,
        pipe: ObjectStream::PIPE,
        close: ObjectStream::CLOSE,
        is_writable: ObjectStream::is_writable,
        write: ObjectStream::write,
        end: ObjectStream::end,
        close_now: ObjectStream::close,
    };
    connect_pipe(source, from, destination, to, PipeOptions::default())
}

struct ObjectDriver;

impl ObjectDriver {
    fn find<R>(token: Token, f: impl FnOnce(&ObjectEntry) -> R) -> Option<(Id, R)> {
        let found = STREAMS.try_with(|streams| {
            let table = &streams.borrow().table;
            let id = table.find(token)?;
            Some((id, f(table.get(id)?)))
        });
        found.ok().flatten()
    }
}

impl Driver for ObjectDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some((id, deliver)) = Self::find(token, |entry| entry.deliver) {
            deliver(id);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some((id, fail)) = Self::find(token, |entry| entry.fail) {
            fail(
                id,
                Error::Panic {
                    message: message.into(),
                },
            );
        }
    }
}
