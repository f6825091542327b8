//! A stream of values of any type: what is written comes out as values of another type, or as it is.

mod traits;

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use uptick_emitter::{Emitter, Event, Listeners, emit};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, catch};

use crate::error::Error;
use crate::pipe::{DestinationParts, PipeOptions, SourceParts, pipe_parts};
use crate::through::TransformError;

/// The soft limit of an [`ObjectStream`]: from this many held values on, `write` returns `false`.
const SOFT_LIMIT: usize = 16;
/// The hard limit of an [`ObjectStream`]: a write that finds this many values is not taken.
const HARD_LIMIT: usize = 65_536;
/// The number of values that are handed on in one go: a listener that writes to the stream it listens to does not stop the loop.
const BUDGET: usize = 64;

/// A conversion of the values in an [`ObjectStream`]: of one value into none, one or several.
pub trait ObjectTransform<In, Out>: 'static {
    /// Pushes to `output` what comes out for `value`.
    ///
    /// # Errors
    /// Fails the stream.
    fn transform(&mut self, value: In, output: &mut VecDeque<Out>) -> Result<(), TransformError>;

    /// Pushes to `output` what comes out last, after the end of the input. The default pushes nothing.
    ///
    /// # Errors
    /// Fails the stream.
    fn flush(&mut self, output: &mut VecDeque<Out>) -> Result<(), TransformError> {
        let _ = output;
        Ok(())
    }
}

/// A stream of values: an `In` that is written comes out as `Out`.
///
/// It is to values what a [`ThroughStream`](crate::ThroughStream) is to bytes. A `Copy` handle; the thread owns the stream
/// until it closes. One whose `Out` is [`Bytes`](bytes::Bytes) is a [`ReadableStream`](crate::ReadableStream), so that it can be piped into a connection;
/// values of other types are piped with [`pipe_objects`](ObjectStream::pipe_objects). The key of the values is
/// [`DATA`](ObjectStream::DATA); the other events have names too: `end`, `drain`, `pipe`, `error` and `close`.
///
/// # Limits
/// From 16 held values on, `write` returns `false` until `drain`. A write that finds 65,536 held is not taken: the stream gets
/// an `error` and closes.
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

struct Entry {
    listeners: Listeners,
    /// A `Values<In, Out>`.
    values: Box<dyn Any>,
    deliver: fn(Id),
    fail: fn(Id, Error),
    held: usize,
    state: State,
}

struct Values<In, Out> {
    /// `None` while it runs.
    transform: Option<Box<dyn ObjectTransform<In, Out>>>,
    incoming: VecDeque<In>,
    outgoing: VecDeque<Out>,
}

#[derive(Default)]
struct State {
    transforming: bool,
    delivering: bool,
    scheduled: bool,
    paused: bool,
    /// `resume` was called: values come without a listener too.
    flowing: bool,
    /// `write` returned `false`: `drain` is owed.
    full: bool,
    ending: bool,
    /// Everything is transformed, and `end` follows what is held.
    flushed: bool,
    ended: bool,
    closing: bool,
}

enum Step<Out> {
    Data(Out),
    End,
}

#[derive(Default)]
struct Streams {
    table: Table<Entry>,
    driver: Option<DriverId>,
}

thread_local! {
    static STREAMS: RefCell<Streams> = RefCell::default();
}

struct Closure<F>(F);

impl<In, Out, F> ObjectTransform<In, Out> for Closure<F>
where
    F: FnMut(In) -> Result<Out, TransformError> + 'static,
{
    fn transform(&mut self, value: In, output: &mut VecDeque<Out>) -> Result<(), TransformError> {
        output.push_back((self.0)(value)?);
        Ok(())
    }
}

impl<T: Clone + 'static> ObjectStream<T> {
    /// Returns a stream that hands on values as they are.
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
    /// Returns a stream that encodes each value as a line of JSON (NDJSON), to be piped into a connection.
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
    /// A value comes out.
    pub const DATA: Event<Self, Out> = Event::new("data", DATA);
    /// Everything has come out.
    pub const END: Event<Self, ()> = Event::new("end", 1);
    /// Fewer values than the soft limit are held, after `write` returned `false`.
    pub const DRAIN: Event<Self, ()> = Event::new("drain", 2);
    /// A stream is piped into this one.
    pub const PIPE: Event<Self, ()> = Event::new("pipe", 3);
    /// The stream is over.
    pub const CLOSE: Event<Self, ()> = Event::new("close", 4);
    /// The transform or a callback failed; `close` follows.
    pub const ERROR: Event<Self, Error> = Event::new("error", 5).warn();

    /// Returns a stream that puts each value through `transform`.
    ///
    /// An error of it is any error, or a text: `Err("no such line".into())`.
    pub fn with(transform: impl FnMut(In) -> Result<Out, TransformError> + 'static) -> Self {
        Self::with_transform(Closure(transform))
    }

    /// Returns a stream with a transform that drops or multiplies values, or has more of them at the end.
    ///
    /// It is closed from the beginning on a thread that is ending.
    pub fn with_transform(transform: impl ObjectTransform<In, Out>) -> Self {
        let values: Values<In, Out> = Values {
            transform: Some(Box::new(transform)),
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
        };
        let entry = Entry {
            listeners: Listeners::new(),
            values: Box::new(values),
            deliver: |id| Self::of(id).scheduled(),
            fail: |id, error| Self::of(id).fail(error),
            held: 0,
            state: State::default(),
        };
        let id = STREAMS.try_with(|streams| streams.borrow_mut().table.insert(entry));
        ObjectStream {
            id: id.ok().flatten(),
            types: PhantomData,
        }
    }

    fn of(id: Id) -> Self {
        ObjectStream {
            id: Some(id),
            types: PhantomData,
        }
    }

    /// Writes a value.
    ///
    /// `false` when as many values as the soft limit are held: `drain` follows. `false` without a `drain` to come says
    /// that the stream takes nothing: it is ending, closed or gone.
    pub fn write(self, value: In) -> bool {
        if !self.is_writable() {
            return false;
        }
        if self.entry(|entry| entry.held >= HARD_LIMIT) == Some(true) {
            self.fail(Error::TooManyValues { limit: HARD_LIMIT });
            return false;
        }
        self.values(|values, _, held| {
            values.incoming.push_back(value);
            *held += 1;
        });
        self.transform();
        self.deliver();
        self.entry(|entry| {
            entry.state.full |= entry.held >= SOFT_LIMIT;
            !entry.state.full && !entry.state.ending && !entry.state.closing
        })
        .unwrap_or(false)
    }

    /// Hands on what is held, then emits `end` and closes.
    pub fn end(self) {
        if self.is_writable() {
            self.entry(|entry| entry.state.ending = true);
            self.transform();
            self.deliver();
        }
    }

    /// Writes, then [`end`](ObjectStream::end)s.
    pub fn end_with(self, value: In) {
        self.write(value);
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

    /// Lets `data` and `end` come; without a `data` listener the values are discarded.
    pub fn resume(self) {
        self.entry(|entry| {
            entry.state.paused = false;
            entry.state.flowing = true;
        });
        self.schedule();
    }

    /// Whether `data` may still come.
    pub fn is_readable(self) -> bool {
        self.entry(|entry| !entry.state.ended && !entry.state.closing) == Some(true)
    }

    /// Whether [`write`](ObjectStream::write) takes anything.
    pub fn is_writable(self) -> bool {
        self.entry(|entry| !entry.state.ending && !entry.state.closing) == Some(true)
    }

    /// Whether the stream is there: false once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
    }

    /// The number of held values.
    pub fn buffered(self) -> usize {
        self.entry(|entry| entry.held).unwrap_or(0)
    }

    /// Writes each value that comes out to `destination`, at the pace of that, and ends it at the end. Returns
    /// `destination`.
    pub fn pipe_objects<T: Clone + 'static>(
        self,
        destination: ObjectStream<Out, T>,
    ) -> ObjectStream<Out, T> {
        let parts = SourceParts {
            data: Self::DATA,
            end: Self::END,
            close: Self::CLOSE,
            is_readable: Self::is_readable,
            pause: Self::pause,
            resume: Self::resume,
        };
        pipe_from(self, parts, destination)
    }

    fn entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let id = self.id?;
        STREAMS
            .try_with(|streams| streams.borrow_mut().table.get_mut(id).map(f))
            .ok()?
    }

    fn values<R>(
        self,
        f: impl FnOnce(&mut Values<In, Out>, &mut State, &mut usize) -> R,
    ) -> Option<R> {
        self.entry(|entry| {
            let values = entry.values.downcast_mut()?;
            Some(f(values, &mut entry.state, &mut entry.held))
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

    /// Puts what has come in through the transform, and its last values behind the end.
    fn transform(self) {
        loop {
            let work = self.values(|values, state, held| {
                let ends = state.ending && !state.flushed;
                let nothing = values.incoming.is_empty() && !ends;
                if state.transforming || state.closing || nothing {
                    return None;
                }
                let transform = values.transform.take()?;
                state.transforming = true;
                let value = values.incoming.pop_front();
                *held -= usize::from(value.is_some());
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
            let back = self.values(|values, state, held| {
                state.transforming = false;
                state.flushed |= last;
                *held += output.len();
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

    fn next_step(self) -> Option<Step<Out>> {
        let wanted = self.entry(|entry| entry.state.flowing || entry.listeners.has(DATA))?;
        self.values(|values, state, held| {
            if state.delivering || state.closing || state.paused {
                return None;
            }
            if values.outgoing.is_empty() {
                if !state.flushed || state.ended {
                    return None;
                }
                state.ended = true;
                state.delivering = true;
                return Some(Step::End);
            }
            if !wanted {
                return None;
            }
            state.delivering = true;
            *held -= 1;
            values.outgoing.pop_front().map(Step::Data)
        })
        .flatten()
    }

    /// Emits what is held for as long as it is wanted.
    fn deliver(self) {
        for _ in 0..BUDGET {
            let Some(step) = self.next_step() else {
                return;
            };
            let result = catch(|| match step {
                Step::Data(value) => emit(&self, Self::DATA, value),
                Step::End => emit(&self, Self::END, ()),
            });
            let drains = self.entry(|entry| {
                let state = &mut entry.state;
                state.delivering = false;
                let drains = state.full && entry.held < SOFT_LIMIT;
                state.full &= !drains;
                drains && !state.ending && !state.closing
            });
            let result = match drains {
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

    fn scheduled(self) {
        self.entry(|entry| entry.state.scheduled = false);
        self.deliver();
    }

    /// Schedules the delivery of the held values for the next iteration.
    fn schedule(self) {
        let Some(id) = self.id else { return };
        let waits = self.values(|values, state, _| {
            let waits = !values.outgoing.is_empty() || (state.flushed && !state.ended);
            waits && !std::mem::replace(&mut state.scheduled, true)
        });
        if waits != Some(true) {
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
    from: SourceParts<R, In>,
    destination: ObjectStream<In, Out>,
) -> ObjectStream<In, Out>
where
    R: Emitter + Copy + 'static,
    In: Clone + 'static,
    Out: Clone + 'static,
{
    let to = DestinationParts {
        drain: ObjectStream::DRAIN,
        pipe: ObjectStream::PIPE,
        close: ObjectStream::CLOSE,
        is_writable: ObjectStream::is_writable,
        write: ObjectStream::write,
        end: ObjectStream::end,
        close_now: ObjectStream::close,
    };
    pipe_parts(source, from, destination, to, PipeOptions::default())
}

struct ObjectDriver;

impl ObjectDriver {
    fn find<R>(token: Token, f: impl FnOnce(&Entry) -> R) -> Option<(Id, R)> {
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
