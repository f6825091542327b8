//! Two one-way streams combined into one duplex stream.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, ListenerId, Listeners, emit, events};
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle, catch};

use crate::chunk::Chunk;
use crate::contract::{BaseStream, DuplexStream, ReadableStream, WritableStream};
use crate::error::Error;
use crate::pipe::PipeOptions;
use crate::source::{ErasedSource, ReadableSource, SourceReader};

/// A readable and a writable stream combined into one duplex stream, such as `stdout` and `stdin` of a child process.
///
/// A `Copy` handle. The events are `data`, `end`, `drain`, `pipe`, `error` and `close`; see [`ReadableStream`] and
/// [`WritableStream`].
///
/// | situation | behaviour |
/// |---|---|
/// | [`close`](CompositeStream::close), or one of the streams fails | both close, then `close` |
/// | the readable stream ends | `end`; the writable stream is ended too, unless half-open is allowed; `close` follows its close |
/// | the readable stream closes without an end | both close, then `close` |
/// | [`end`](CompositeStream::end) | the readable stream is paused, the writable stream is ended |
/// | [`shutdown_write`](CompositeStream::shutdown_write) | ends the writable stream; `close` follows its close and the end of the readable one |
/// | the writable stream closes otherwise | both close, then `close` |
///
/// # Examples
/// ```
/// use std::process::{Command, Stdio};
/// use bytes::Bytes;
/// use uptick_emitter::Emitter;
/// use uptick_stream::{CompositeStream, ReadableResourceStream, WritableResourceStream};
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// if let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) {
///     let cat = CompositeStream::new(
///         ReadableResourceStream::new(stdout)?,
///         WritableResourceStream::new(stdin)?,
///     );
///     cat.write("meow");
///     cat.on("data", move |chunk: Bytes| {
///         println!("{chunk:?}");
///         cat.close();
///     });
/// }
/// uptick_event_loop::run()?;
/// child.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompositeStream {
    /// `None` if the thread's table was full, or the thread is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl CompositeStream {
        Bytes => {
            /// Emitted for bytes of the readable stream.
            DATA = "data";
        }
        () => {
            /// Emitted when the readable stream has ended.
            END = "end";
            /// Emitted when the writable stream has drained.
            DRAIN = "drain";
            /// Emitted when a stream is piped into this one.
            PIPE = "pipe";
            /// Emitted when both streams are closed.
            CLOSE = "close";
        }
        Error => {
            /// Emitted when one of the streams failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

struct CompositeEntry {
    listeners: Listeners,
    readable: Rc<dyn ErasedSource<CompositeStream>>,
    writable: Rc<dyn ErasedWritable>,
    /// Set when the readable stream has ended.
    ended: bool,
    /// Set when `end` was called.
    ending: bool,
    /// Set when `shutdown_write` was called.
    write_shut: bool,
    half_open: bool,
    /// Set when the writable stream has closed, or was never open.
    writable_gone: bool,
    closing: bool,
    /// The task that waits for the close of the writable stream.
    waker: Option<Waker>,
}

thread_local! {
    static STREAMS: RefCell<Table<CompositeEntry>> = const { RefCell::new(Table::new()) };
}

impl SourceReader for CompositeStream {
    fn data(self, chunk: Bytes) {
        emit(&self, Self::DATA, chunk);
    }

    fn ended(self) {
        self.entry(|entry| entry.ended = true);
        emit(&self, Self::END, ());
        let stays_open =
            self.entry(|entry| entry.half_open && !entry.write_shut && !entry.writable_gone);
        if stays_open == Some(false) {
            self.end();
        }
    }

    fn failed(self, error: Error) {
        self.fail(error);
    }

    fn closed(self) {
        // After its end, the writable stream still sends its queued data.
        if self.entry(|entry| entry.ended) == Some(false) {
            self.close();
        }
    }
}

/// A type-erased writable stream.
trait ErasedWritable {
    /// Registers the listeners; returns `false` if the stream is already closed.
    fn listen(&self, composite: CompositeStream) -> bool;
    fn is_writable(&self) -> bool;
    fn write(&self, chunk: Bytes) -> bool;
    fn write_slice(&self, chunk: &[u8]) -> bool;
    fn end(&self);
    fn close(&self);
}

struct WritableSide<W> {
    stream: W,
    ids: RefCell<Vec<ListenerId>>,
}

impl<W: WritableStream> ErasedWritable for WritableSide<W> {
    fn listen(&self, composite: CompositeStream) -> bool {
        let drain = self.stream.on(W::DRAIN, move |()| {
            emit(&composite, CompositeStream::DRAIN, ())
        });
        let error = self.stream.on(W::ERROR, move |error| {
            composite.fail(Error::from_stream(error))
        });
        let close = self
            .stream
            .on(W::CLOSE, move |()| composite.writable_closed());
        self.ids.borrow_mut().extend([drain, error, close]);
        close != ListenerId::NONE
    }

    fn is_writable(&self) -> bool {
        self.stream.is_writable()
    }

    fn write(&self, chunk: Bytes) -> bool {
        self.stream.write(chunk)
    }

    fn write_slice(&self, chunk: &[u8]) -> bool {
        self.stream.write(chunk)
    }

    fn end(&self) {
        self.stream.end();
    }

    fn close(&self) {
        for id in self.ids.take() {
            self.stream.off(id);
        }
        self.stream.close();
    }
}

/// Chunks up to this many bytes are copied, as in write queues.
const COPY_LIMIT: usize = 4096;

impl CompositeStream {
    /// Combines two streams. If both are closed, so is the new stream; on a thread that is ending, both are closed.
    pub fn new<R: ReadableStream, W: WritableStream>(readable: R, writable: W) -> Self {
        let readable: Rc<dyn ErasedSource<CompositeStream>> =
            Rc::new(ReadableSource::new(readable));
        let writable: Rc<dyn ErasedWritable> = Rc::new(WritableSide {
            stream: writable,
            ids: RefCell::default(),
        });
        let entry = CompositeEntry {
            listeners: Listeners::new(),
            readable: Rc::clone(&readable),
            writable: Rc::clone(&writable),
            ended: !readable.is_readable(),
            ending: !writable.is_writable(),
            write_shut: false,
            half_open: false,
            writable_gone: false,
            closing: false,
            waker: None,
        };
        let composite = CompositeStream {
            id: STREAMS
                .try_with(|streams| streams.borrow_mut().insert(entry))
                .ok()
                .flatten(),
            local: PhantomData,
        };
        if composite.id.is_none() {
            readable.close();
            writable.close();
        } else if !readable.is_readable() && !writable.is_writable() {
            composite.close();
        } else {
            readable.listen(composite);
            let listening = writable.listen(composite);
            composite.entry(|entry| entry.writable_gone = !listening);
        }
        composite
    }

    /// Writes to the writable stream; see [`WritableStream::write`].
    pub fn write(self, chunk: impl Chunk) -> bool {
        let writable = self.entry(|entry| {
            (!entry.ending && !entry.write_shut).then(|| Rc::clone(&entry.writable))
        });
        let Some(Some(writable)) = writable else {
            return false;
        };
        if chunk.as_slice().len() <= COPY_LIMIT {
            writable.write_slice(chunk.as_slice())
        } else {
            writable.write(chunk.into_bytes())
        }
    }

    /// Pauses the readable stream and ends the writable one; the stream closes when the writable one has closed.
    pub fn end(self) {
        let sides = self.entry(|entry| {
            let first = !entry.closing && !std::mem::replace(&mut entry.ending, true);
            first.then(|| (Rc::clone(&entry.readable), Rc::clone(&entry.writable)))
        });
        if let Some(Some((readable, writable))) = sides {
            readable.pause();
            writable.end();
        }
        if self.entry(|entry| entry.writable_gone) == Some(true) {
            self.close();
        }
    }

    /// Ends the writable stream; reading continues.
    pub fn shutdown_write(self) {
        let writable = self.entry(|entry| {
            let ended =
                entry.closing || entry.ending || std::mem::replace(&mut entry.write_shut, true);
            (!ended).then(|| Rc::clone(&entry.writable))
        });
        if let Some(Some(writable)) = writable {
            writable.end();
        }
    }

    /// Sets whether the stream stays open for writing after the end of the readable stream. Default: false.
    pub fn set_allow_half_open(self, allow: bool) {
        self.entry(|entry| entry.half_open = allow);
    }

    /// Writes `chunk`, then calls [`end`](CompositeStream::end).
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Closes both streams at once. `close` listeners run before this returns.
    pub fn close(self) {
        let sides = self.entry(|entry| {
            let first = !std::mem::replace(&mut entry.closing, true);
            first.then(|| (Rc::clone(&entry.readable), Rc::clone(&entry.writable)))
        });
        let Some(Some((readable, writable))) = sides else {
            return;
        };
        readable.close();
        writable.close();
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
        let id = self.id;
        let entry = STREAMS.try_with(|streams| streams.borrow_mut().remove(id?));
        if let Err(message) = catch(|| drop(entry)) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
    }

    /// Stops `data` and `end` until [`resume`](CompositeStream::resume).
    pub fn pause(self) {
        if let Some(readable) = self.entry(|entry| Rc::clone(&entry.readable)) {
            readable.pause();
        }
    }

    /// Resumes `data` and `end`; without a `data` listener the data is discarded.
    pub fn resume(self) {
        let readable = self.entry(|entry| (!entry.ending).then(|| Rc::clone(&entry.readable)));
        if let Some(Some(readable)) = readable {
            readable.resume();
        }
    }

    /// Returns whether `data` may still be emitted.
    pub fn is_readable(self) -> bool {
        let readable = self.entry(|entry| {
            (!entry.ended && !entry.ending && !entry.closing).then(|| Rc::clone(&entry.readable))
        });
        readable
            .flatten()
            .is_some_and(|readable| readable.is_readable())
    }

    /// Returns whether [`write`](CompositeStream::write) accepts data.
    pub fn is_writable(self) -> bool {
        let writable = self.entry(|entry| {
            let ended = entry.ending || entry.write_shut || entry.closing;
            (!ended).then(|| Rc::clone(&entry.writable))
        });
        writable
            .flatten()
            .is_some_and(|writable| writable.is_writable())
    }

    /// Returns whether the stream is open: `false` once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
    }

    /// Writes all data to `destination`: see [`ReadableStream::pipe`].
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// Like [`pipe`](Self::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }

    fn entry<R>(self, f: impl FnOnce(&mut CompositeEntry) -> R) -> Option<R> {
        let id = self.id?;
        STREAMS
            .try_with(|streams| streams.borrow_mut().get_mut(id).map(f))
            .ok()?
    }

    fn writable_closed(self) {
        let (keeps_reading, waker) = self
            .entry(|entry| {
                let keeps_reading = entry.write_shut && !entry.ended && !entry.ending;
                entry.writable_gone |= keeps_reading;
                (keeps_reading, entry.waker.take())
            })
            .unwrap_or_default();
        if !keeps_reading {
            self.close();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn fail(self, error: Error) {
        if self.entry(|entry| entry.closing) == Some(false) {
            let result = catch(|| emit(&self, Self::ERROR, error));
            self.close();
            if let Err(message) = result {
                tracing::error!("a callback panicked as its stream failed: {message}");
            }
        }
    }
}

impl Emitter for CompositeStream {
    type Events = CompositeStream;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.entry(|entry| f(&mut entry.listeners))
    }

    fn listener_added(&self, slot: u8) {
        if slot == Self::DATA.slot()
            && let Some(readable) = self.entry(|entry| Rc::clone(&entry.readable))
        {
            readable.forward(*self);
        }
    }
}

impl BaseStream for CompositeStream {
    type Error = Error;

    const ERROR: Event<Self, Error> = CompositeStream::ERROR;
    const CLOSE: Event<Self, ()> = CompositeStream::CLOSE;

    fn close(self) {
        CompositeStream::close(self);
    }
}

impl ReadableStream for CompositeStream {
    const DATA: Event<Self, Bytes> = CompositeStream::DATA;
    const END: Event<Self, ()> = CompositeStream::END;

    fn is_readable(self) -> bool {
        CompositeStream::is_readable(self)
    }

    fn pause(self) {
        CompositeStream::pause(self);
    }

    fn resume(self) {
        CompositeStream::resume(self);
    }
}

impl WritableStream for CompositeStream {
    const DRAIN: Event<Self, ()> = CompositeStream::DRAIN;
    const PIPE: Event<Self, ()> = CompositeStream::PIPE;

    fn is_writable(self) -> bool {
        CompositeStream::is_writable(self)
    }

    fn write(self, chunk: impl Chunk) -> bool {
        CompositeStream::write(self, chunk)
    }

    fn end(self) {
        CompositeStream::end(self);
    }
}

impl DuplexStream for CompositeStream {
    fn shutdown_write(self) {
        CompositeStream::shutdown_write(self);
    }

    fn poll_shutdown_write(self, context: &mut Context<'_>) -> Poll<()> {
        CompositeStream::shutdown_write(self);
        let pending = self.entry(|entry| {
            let pending = !entry.writable_gone && !entry.closing;
            if pending {
                entry.waker = Some(context.waker().clone());
            }
            pending
        });
        match pending {
            Some(true) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    fn set_allow_half_open(self, allow: bool) {
        CompositeStream::set_allow_half_open(self, allow);
    }
}

impl fmt::Debug for CompositeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CompositeStream").field(&self.id).finish()
    }
}
