//! The contracts: what every readable, writable and duplex stream does, for code that is generic over them.

use std::error::Error as StdError;
use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, EventSet};

use crate::adapter::{AsyncDuplex, AsyncReader, AsyncWriter, ChunkSink, Chunks};
use crate::chunk::Chunk;
use crate::pipe::{self, PipeOptions};
use crate::transport::{self, Transport};

/// What readable and writable streams have in common.
///
/// A stream is a `Copy` handle of something that its thread's loop owns. When the stream has closed the handle is
/// *stale*: every method of it does nothing, or says that nothing can be done.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `error` | [`Error`](BaseStream::Error) | at most once; `close` MUST follow, and `end` MUST NOT |
/// | `close` | `()` | at most once; it MUST be the last event |
///
/// After the `close` listeners have run, all listeners MUST be dropped.
pub trait BaseStream: Emitter<Events = Self> + EventSet + Copy {
    /// What the `error` event carries.
    type Error: StdError + Clone + Send + Sync + 'static;

    /// The event of a failure; the stream closes after it.
    const ERROR: Event<Self, Self::Error>;
    /// The event of the close, the last one.
    const CLOSE: Event<Self, ()>;

    /// Closes the stream at once. What it has not sent is lost; `close` is emitted before this returns.
    ///
    /// Idempotent; allowed after [`end`](WritableStream::end), to wait no longer.
    fn close(self);
}

/// A stream that data comes out of.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `data` | [`Bytes`] | bytes have come; never empty |
/// | `end` | `()` | no more will come, and nothing was lost: at most once, after all `data` |
/// | `error` | [`Error`](BaseStream::Error) | something failed |
/// | `close` | `()` | the stream is over |
///
/// The order is one of these, and nothing else:
///
/// | order | what happened |
/// |---|---|
/// | `data… end close` | the source came to its end |
/// | `data… error close` | it failed |
/// | `data… end error close` | the source came to its end; then a callback failed, or the writing side of a duplex stream |
/// | `data… close` | this side closed or ended the stream |
///
/// Data MUST NOT come before somebody wants it: before there is a `data` listener or [`resume`](Self::resume) was
/// called. It MUST NOT be read ahead without a bound.
pub trait ReadableStream: BaseStream {
    /// The event of bytes that have come.
    const DATA: Event<Self, Bytes>;
    /// The event of the end.
    const END: Event<Self, ()>;

    /// Whether `data` may still come: false once the end has come, in the `end` listeners already.
    fn is_readable(self) -> bool;

    /// Stops `data` and `end` at once, until [`resume`](Self::resume). Idempotent.
    fn pause(self);

    /// Lets `data` and `end` come, also when nobody listens to `data`: then they are discarded.
    ///
    /// It MUST NOT emit anything before it returns. Nothing happens when the stream has ended.
    fn resume(self);

    /// Writes all that comes out of this stream to `destination`, as fast as that takes it, and ends it at the end.
    /// Gives `destination`.
    ///
    /// | what happens | what the pipe does |
    /// |---|---|
    /// | `destination.write` gives `false` | pauses the source, until `drain` |
    /// | the source emits `end` | ends the destination, unless [`PipeOptions::end`] is off |
    /// | the source emits `error`, or closes without `end` | nothing, unless [`PipeOptions::close_on_error`] is on |
    /// | the destination closes | lets go, and pauses the source |
    /// | the source is not readable | nothing, from the beginning |
    /// | the destination is not writable | pauses the source |
    ///
    /// The destination emits `pipe`. A duplex stream that is piped into itself is an echo.
    ///
    /// Cost: no allocation for a chunk.
    ///
    /// # Limits
    /// A source with several pipes goes on when one destination drains that had filled up, so that a slower one may
    /// come to hold more than its soft limit; its hard limit ends that.
    fn pipe<W: WritableStream>(self, destination: W) -> W {
        self.pipe_with(destination, PipeOptions::default())
    }

    /// As [`pipe`](Self::pipe), with options.
    fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        pipe::pipe(self, destination, options)
    }

    /// The stream as [`AsyncRead`](futures::AsyncRead), for code that awaits.
    ///
    /// # Examples
    /// ```
    /// use futures::AsyncReadExt;
    /// use uptick_stream::{ReadableResourceStream, ReadableStream};
    ///
    /// let text = uptick_event_loop::block_on(async {
    ///     let mut text = String::new();
    ///     let mut file = ReadableResourceStream::open("Cargo.toml")?.into_async_read();
    ///     file.read_to_string(&mut text).await?;
    ///     Ok::<String, std::io::Error>(text)
    /// })??;
    /// assert!(text.starts_with("[package]"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn into_async_read(self) -> AsyncReader<Self> {
        AsyncReader::new(self)
    }

    /// The stream as a [`Stream`](futures::Stream) of chunks, for code that awaits.
    fn into_chunks(self) -> Chunks<Self> {
        Chunks::new(self)
    }
}

/// A stream that data goes into.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `drain` | `()` | there is room again: exactly once after [`write`](Self::write) gave `false` for want of room |
/// | `pipe` | `()` | a stream is piped into this one |
/// | `error` | [`Error`](BaseStream::Error) | something failed; what was not sent is lost |
/// | `close` | `()` | the stream is over |
///
/// [`write`](Self::write) and [`end`](Self::end) MUST be allowed in every listener.
pub trait WritableStream: BaseStream {
    /// The event of room to write.
    const DRAIN: Event<Self, ()>;
    /// The event of a stream that is piped into this one.
    const PIPE: Event<Self, ()>;

    /// Whether [`write`](Self::write) takes anything: false from [`end`](Self::end) or [`close`](BaseStream::close) on.
    fn is_writable(self) -> bool;

    /// Writes; `false` when the caller should wait for `drain`.
    ///
    /// It is false when the stream holds as much as its soft limit or more, counted with this chunk; the chunk was
    /// taken all the same. It is also false when the stream is not writable: then nothing was taken and nothing will
    /// be emitted. An empty chunk is taken and changes nothing.
    ///
    /// # Limits
    /// A stream MUST bound what it holds beyond its soft limit: a write over that fails it with an `error`.
    fn write(self, chunk: impl Chunk) -> bool;

    /// Sends what was written, then closes. The stream is not writable from here on. Idempotent.
    ///
    /// A duplex stream that leads to a peer reads no more either: what still comes is discarded.
    fn end(self);

    /// Writes, then [`end`](Self::end)s.
    fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// The stream as [`AsyncWrite`](futures::AsyncWrite), for code that awaits.
    fn into_async_write(self) -> AsyncWriter<Self> {
        AsyncWriter::new(self)
    }

    /// The stream as a [`Sink`](futures::Sink) of chunks, for code that awaits.
    fn into_sink(self) -> ChunkSink<Self> {
        ChunkSink::new(self)
    }
}

/// A stream with two sides. One `error` and one `close` stand for both.
///
/// # Events
/// Those of [`ReadableStream`] and [`WritableStream`]. After the peer's `end` the stream ends itself, once what was
/// written is sent, unless it is told to stay half open.
pub trait DuplexStream: ReadableStream + WritableStream {
    /// Ends the writing side: sends what was written, then tells the peer. Reading goes on, and `close` comes after its
    /// `end`. Idempotent.
    ///
    /// A stream without a peer, as a [`ThroughStream`](crate::ThroughStream), [`end`](WritableStream::end)s: what was
    /// written is its own `data`.
    fn shutdown_write(self);

    /// [`shutdown_write`](Self::shutdown_write)s; ready when everything is sent and the peer is told.
    ///
    /// It wakes one task, the last one that has asked. A stream that closes before says so by `close`.
    fn poll_shutdown_write(self, context: &mut Context<'_>) -> Poll<()>;

    /// Sets whether the stream stays open for writing after the peer's `end`. Default: false.
    fn set_allow_half_open(self, allow: bool);

    /// The stream as [`AsyncRead`](futures::AsyncRead) and [`AsyncWrite`](futures::AsyncWrite), for code that awaits.
    ///
    /// It stays open for writing when the peer has ended: [`set_allow_half_open`](Self::set_allow_half_open).
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use futures::{AsyncReadExt, AsyncWriteExt};
    /// use uptick_stream::{DuplexResourceStream, DuplexStream};
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let echo = DuplexResourceStream::new(theirs)?;
    /// echo.pipe(echo);
    /// let answer = uptick_event_loop::block_on(async {
    ///     let mut stream = DuplexResourceStream::new(ours)?.into_async();
    ///     stream.write_all(b"hello").await?;
    ///     stream.close().await?;
    ///     let mut answer = String::new();
    ///     stream.read_to_string(&mut answer).await?;
    ///     Ok::<_, std::io::Error>(answer)
    /// })??;
    /// assert_eq!(answer, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn into_async(self) -> AsyncDuplex<Self> {
        AsyncDuplex::new(self)
    }
}

/// A [`Transport`] that is read and written: it has all the contracts.
pub trait DuplexTransport: Transport<Error: StdError + Send + Sync> {
    /// The event of a stream that is piped into this one.
    const PIPE: Event<Self, ()>;
}

impl<T: DuplexTransport> BaseStream for T {
    type Error = <T as Transport>::Error;

    const ERROR: Event<Self, Self::Error> = <T as Transport>::ERROR;
    const CLOSE: Event<Self, ()> = <T as Transport>::CLOSE;

    fn close(self) {
        transport::close(self);
    }
}

impl<T: DuplexTransport> ReadableStream for T {
    const DATA: Event<Self, Bytes> = <T as Transport>::DATA;
    const END: Event<Self, ()> = <T as Transport>::END;

    fn is_readable(self) -> bool {
        transport::is_readable(self)
    }

    fn pause(self) {
        transport::pause(self);
    }

    fn resume(self) {
        transport::resume(self);
    }
}

impl<T: DuplexTransport> WritableStream for T {
    const DRAIN: Event<Self, ()> = <T as Transport>::DRAIN;
    const PIPE: Event<Self, ()> = <T as DuplexTransport>::PIPE;

    fn is_writable(self) -> bool {
        transport::is_writable(self)
    }

    #[inline]
    fn write(self, chunk: impl Chunk) -> bool {
        transport::write(self, chunk)
    }

    fn end(self) {
        transport::end(self);
    }
}

impl<T: DuplexTransport> DuplexStream for T {
    fn shutdown_write(self) {
        transport::shutdown_write(self);
    }

    fn poll_shutdown_write(self, context: &mut Context<'_>) -> Poll<()> {
        transport::poll_shutdown_write(self, context)
    }

    fn set_allow_half_open(self, allow: bool) {
        transport::set_allow_half_open(self, allow);
    }
}
