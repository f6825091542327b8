//! Two one-way streams as one duplex stream.

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
use crate::source::{ReadableSource, Reader, Source};

/// A readable and a writable stream as one duplex stream: a child's `stdout` and `stdin`, for example.
///
/// A `Copy` handle. The events are `data`, `end`, `drain`, `pipe`, `error` and `close`; see [`ReadableStream`] and
/// [`WritableStream`].
///
/// | what happens | what follows |
/// |---|---|
/// | [`close`](CompositeStream::close), or one of the two fails | both close, then `close` |
/// | the readable one comes to its end | `end`; the writable one is ended too, unless half-open is allowed; `close` follows its close |
/// | the readable one closes without an end | both close, then `close` |
/// | [`end`](CompositeStream::end) | the readable one is paused, the writable one ended |
/// | [`shutdown_write`](CompositeStream::shutdown_write) | the writable one is ended; `close` follows its close and the end of the readable one |
/// | the writable one closes otherwise | both close, then `close` |
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
    /// `None` when the thread had no room for it, or is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl CompositeStream {
        Bytes => {
            /// Bytes have come out of the readable stream.
            DATA = "data";
        }
        () => {
            /// The readable stream has come to its end.
            END = "end";
            /// The writable stream has room again.
            DRAIN = "drain";
            /// A stream is piped into this one.
            PIPE = "pipe";
            /// Both streams are over.
            CLOSE = "close";
        }
        Error => {
            /// One of the two failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

struct Entry {
    listeners: Listeners,
    readable: Rc<dyn Source<CompositeStream>>,
    writable: Rc<dyn Writable>,
    /// The readable stream has come to its end.
    ended: bool,
    /// `end` was called.
    ending: bool,
    /// `shutdown_write` was called.
    shut: bool,
    half_open: bool,
    /// There is nothing to write to: the writable stream has closed, or never was there.
    half: bool,
    closing: bool,
    /// Who waits for the close of the writable stream.
    waker: Option<Waker>,
}

thread_local! {
    static STREAMS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

impl Reader for CompositeStream {
    fn data(self, chunk: Bytes) {
        emit(&self, Self::DATA, chunk);
    }

    fn ended(self) {
        self.entry(|entry| entry.ended = true);
        emit(&self, Self::END, ());
        let stays = self.entry(|entry| entry.half_open && !entry.shut && !entry.half);
        if stays == Some(false) {
            self.end();
        }
    }

    fn failed(self, error: Error) {
        self.fail(error);
    }

    fn closed(self) {
        // After an end, the writable side still sends what it has.
        if self.entry(|entry| entry.ended) == Some(false) {
            self.close();
        }
    }
}

/// A writable stream whose type is erased.
trait Writable {
    /// Gives whether the stream is there: whether its `close` is to come.
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

impl<W: WritableStream> Writable for WritableSide<W> {
    fn listen(&self, composite: CompositeStream) -> bool {
        let drain = self.stream.on(W::DRAIN, move |()| {
            emit(&composite, CompositeStream::DRAIN, ())
        });
        let error = self
            .stream
            .on(W::ERROR, move |error| composite.fail(Error::of(error)));
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

/// Chunks up to this many bytes are copied on their way, as write queues do.
const COPIED: usize = 4096;

impl CompositeStream {
    /// Makes one stream of two. It is closed from the beginning if both are; on a thread that is ending it closes both.
    pub fn new<R: ReadableStream, W: WritableStream>(readable: R, writable: W) -> Self {
        let readable: Rc<dyn Source<CompositeStream>> = Rc::new(ReadableSource::new(readable));
        let writable: Rc<dyn Writable> = Rc::new(WritableSide {
            stream: writable,
            ids: RefCell::default(),
        });
        let entry = Entry {
            listeners: Listeners::new(),
            readable: Rc::clone(&readable),
            writable: Rc::clone(&writable),
            ended: !readable.is_readable(),
            ending: !writable.is_writable(),
            shut: false,
            half_open: false,
            half: false,
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
            let there = writable.listen(composite);
            composite.entry(|entry| entry.half = !there);
        }
        composite
    }

    /// Writes to the writable stream; see [`WritableStream::write`].
    pub fn write(self, chunk: impl Chunk) -> bool {
        let writable =
            self.entry(|entry| (!entry.ending && !entry.shut).then(|| Rc::clone(&entry.writable)));
        let Some(Some(writable)) = writable else {
            return false;
        };
        if chunk.as_slice().len() <= COPIED {
            writable.write_slice(chunk.as_slice())
        } else {
            writable.write(chunk.into_bytes())
        }
    }

    /// Pauses the readable stream and ends the writable one; when that has closed, both have.
    pub fn end(self) {
        let sides = self.entry(|entry| {
            let begins = !entry.closing && !std::mem::replace(&mut entry.ending, true);
            begins.then(|| (Rc::clone(&entry.readable), Rc::clone(&entry.writable)))
        });
        if let Some(Some((readable, writable))) = sides {
            readable.pause();
            writable.end();
        }
        if self.entry(|entry| entry.half) == Some(true) {
            self.close();
        }
    }

    /// Ends the writable stream; the readable one goes on.
    pub fn shutdown_write(self) {
        let writable = self.entry(|entry| {
            let over = entry.closing || entry.ending || std::mem::replace(&mut entry.shut, true);
            (!over).then(|| Rc::clone(&entry.writable))
        });
        if let Some(Some(writable)) = writable {
            writable.end();
        }
    }

    /// Sets whether the stream stays open for writing after the end of the readable one. Default: false.
    pub fn set_allow_half_open(self, allow: bool) {
        self.entry(|entry| entry.half_open = allow);
    }

    /// Writes, then [`end`](CompositeStream::end)s.
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Closes both streams at once. `close` listeners run before this returns.
    pub fn close(self) {
        let sides = self.entry(|entry| {
            let begins = !std::mem::replace(&mut entry.closing, true);
            begins.then(|| (Rc::clone(&entry.readable), Rc::clone(&entry.writable)))
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

    /// Lets `data` and `end` come; without a `data` listener the data is discarded.
    pub fn resume(self) {
        let readable = self.entry(|entry| (!entry.ending).then(|| Rc::clone(&entry.readable)));
        if let Some(Some(readable)) = readable {
            readable.resume();
        }
    }

    /// Whether `data` may still come.
    pub fn is_readable(self) -> bool {
        let readable = self.entry(|entry| {
            (!entry.ended && !entry.ending && !entry.closing).then(|| Rc::clone(&entry.readable))
        });
        readable
            .flatten()
            .is_some_and(|readable| readable.is_readable())
    }

    /// Whether [`write`](CompositeStream::write) takes anything.
    pub fn is_writable(self) -> bool {
        let writable = self.entry(|entry| {
            let over = entry.ending || entry.shut || entry.closing;
            (!over).then(|| Rc::clone(&entry.writable))
        });
        writable
            .flatten()
            .is_some_and(|writable| writable.is_writable())
    }

    /// Whether the stream is there: false once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.entry(|_| ()).is_some()
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
            .try_with(|streams| streams.borrow_mut().get_mut(id).map(f))
            .ok()?
    }

    fn writable_closed(self) {
        let (reads_on, waker) = self
            .entry(|entry| {
                let reads_on = entry.shut && !entry.ended && !entry.ending;
                entry.half |= reads_on;
                (reads_on, entry.waker.take())
            })
            .unwrap_or_default();
        if !reads_on {
            self.close();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn fail(self, error: Error) {
        if self.entry(|entry| entry.closing) == Some(false) {
            let told = catch(|| emit(&self, Self::ERROR, error));
            self.close();
            if let Err(message) = told {
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
        let waits = self.entry(|entry| {
            let waits = !entry.half && !entry.closing;
            if waits {
                entry.waker = Some(context.waker().clone());
            }
            waits
        });
        match waits {
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
