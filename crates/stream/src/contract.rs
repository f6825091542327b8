//! The stream traits: the contract of readable, writable and duplex streams, for code that is generic over them.

use std::error::Error as StdError;
use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, EventSet};

use crate::adapter::{AsyncDuplex, AsyncReader, AsyncWriter, ChunkSink, Chunks};
use crate::chunk::Chunk;
use crate::pipe::{self, PipeOptions};
use crate::transport::{self, Transport};

/// The common part of readable and writable streams.
///
/// A stream is a `Copy` handle to an object that its thread's loop owns. When the stream has closed, the handle is *stale*:
/// its methods do nothing, or report that the stream is closed.
///
/// # Events
/// | event | payload | emitted |
/// |---|---|---|
/// | `error` | [`Error`](BaseStream::Error) | at most once; `close` MUST follow, and `end` MUST NOT |
/// | `close` | `()` | at most once; it MUST be the last event |
///
/// After the `close` listeners have run, all listeners MUST be dropped.
pub trait BaseStream: Emitter<Events = Self> + EventSet + Copy {
    /// The payload of the `error` event.
    type Error: StdError + Clone + Send + Sync + 'static;

    /// The event of a failure; the stream closes after it.
    const ERROR: Event<Self, Self::Error>;
    /// The event of the close, always the last one.
    const CLOSE: Event<Self, ()>;

    /// Closes the stream at once. Unsent bytes are lost; `close` is emitted before this returns.
    ///
    /// Idempotent; allowed after [`end`](WritableStream::end), to stop waiting.
    fn close(self);
}

/// A stream that data is read from.
///
/// # Events
/// | event | payload | emitted |
/// |---|---|---|
/// | `data` | [`Bytes`] | bytes have arrived; never empty |
/// | `end` | `()` | end of stream, without loss: at most once, after all `data` |
/// | `error` | [`Error`](BaseStream::Error) | the stream failed |
/// | `close` | `()` | the stream is closed |
///
/// The events come in one of these orders:
///
/// | order | cause |
/// |---|---|
/// | `data… end close` | the source reached its end |
/// | `data… error close` | the stream failed |
/// | `data… end error close` | the source reached its end; then a callback failed, or the writing side of a duplex stream |
/// | `data… close` | the program closed or ended the stream |
///
/// Data MUST NOT be emitted before there is a `data` listener or [`resume`](Self::resume) was called. The amount that is
/// read ahead MUST be bounded.
pub trait ReadableStream: BaseStream {
    /// The event of received bytes.
    const DATA: Event<Self, Bytes>;
    /// The event of the end of the stream.
    const END: Event<Self, ()>;

    /// Returns whether `data` may still be emitted: `false` from the `end` event on, also in the `end` listeners.
    fn is_readable(self) -> bool;

    /// Stops `data` and `end` at once, until [`resume`](Self::resume). Idempotent.
    fn pause(self);

    /// Resumes `data` and `end`. Without a `data` listener, the data is discarded.
    ///
    /// It MUST NOT emit anything before it returns. It does nothing when the stream has ended.
    fn resume(self);

    /// Writes all data of this stream to `destination`, at the pace of the destination, and ends the destination at the end
    /// of the stream. Returns `destination`.
    ///
    /// | situation | behaviour of the pipe |
    /// |---|---|
    /// | `destination.write` returns `false` | pauses the source, until `drain` |
    /// | the source emits `end` | ends the destination, unless [`PipeOptions::end`] is off |
    /// | the source emits `error`, or closes without `end` | nothing, unless [`PipeOptions::close_on_error`] is on |
    /// | the destination closes | detaches itself and pauses the source |
    /// | the source is not readable | none: the pipe is not set up |
    /// | the destination is not writable | pauses the source |
    ///
    /// The destination emits `pipe`. A duplex stream piped into itself is an echo.
    ///
    /// A chunk costs no allocation.
    ///
    /// # Limits
    /// A source with several pipes resumes when any full destination drains, so a slower destination can exceed its soft
    /// limit; its hard limit bounds it.
    fn pipe<W: WritableStream>(self, destination: W) -> W {
        self.pipe_with(destination, PipeOptions::default())
    }

    /// Like [`pipe`](Self::pipe), with options.
    fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        pipe::pipe(self, destination, options)
    }

    /// Converts the stream into an [`AsyncRead`](futures::AsyncRead), for async code.
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

    /// Converts the stream into a [`Stream`](futures::Stream) of chunks, for async code.
    fn into_chunks(self) -> Chunks<Self> {
        Chunks::new(self)
    }
}

/// A stream that data is written to.
///
/// # Events
/// | event | payload | emitted |
/// |---|---|---|
/// | `drain` | `()` | the queue is below its soft limit again, exactly once after [`write`](Self::write) returned `false` for a full queue |
/// | `pipe` | `()` | a pipe into this stream was set up |
/// | `error` | [`Error`](BaseStream::Error) | the stream failed; unsent bytes are lost |
/// | `close` | `()` | the stream is closed |
///
/// [`write`](Self::write) and [`end`](Self::end) MUST be allowed in all listeners.
pub trait WritableStream: BaseStream {
    /// The event of a drained write queue.
    const DRAIN: Event<Self, ()>;
    /// The event of a stream piped into this one.
    const PIPE: Event<Self, ()>;

    /// Returns whether [`write`](Self::write) accepts data: `false` from [`end`](Self::end) or [`close`](BaseStream::close)
    /// on.
    fn is_writable(self) -> bool;

    /// Writes `chunk`; returns `false` if the caller should wait for `drain`.
    ///
    /// The return value is `false` if the stream, including this chunk, buffers its soft limit or more; the chunk is
    /// accepted nevertheless. It is also `false` if the stream is not writable; then the chunk is dropped, and no event
    /// follows. An empty chunk is accepted and changes nothing.
    ///
    /// # Limits
    /// A stream MUST bound what it buffers above its soft limit: a write beyond the hard limit fails the stream with an
    /// `error`.
    fn write(self, chunk: impl Chunk) -> bool;

    /// Sends all written data, then closes. The stream is no longer writable. Idempotent.
    ///
    /// A duplex stream with a peer also stops reading: received data is discarded.
    fn end(self);

    /// Writes `chunk`, then calls [`end`](Self::end).
    fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Converts the stream into an [`AsyncWrite`](futures::AsyncWrite), for async code.
    fn into_async_write(self) -> AsyncWriter<Self> {
        AsyncWriter::new(self)
    }

    /// Converts the stream into a [`Sink`](futures::Sink) of chunks, for async code.
    fn into_sink(self) -> ChunkSink<Self> {
        ChunkSink::new(self)
    }
}

/// A stream with a reading and a writing side. One `error` and one `close` cover both.
///
/// # Events
/// The events of [`ReadableStream`] and [`WritableStream`]. After the peer's `end`, the stream sends all written data and
/// ends itself, unless half-open is allowed.
pub trait DuplexStream: ReadableStream + WritableStream {
    /// Ends the writing side: sends all written data, then end of stream to the peer. Reading continues, and `close` follows
    /// the peer's `end`. Idempotent.
    ///
    /// On a stream without a peer, such as a [`ThroughStream`](crate::ThroughStream), it is the same as
    /// [`end`](WritableStream::end): the written data is the stream's own `data`.
    fn shutdown_write(self);

    /// Calls [`shutdown_write`](Self::shutdown_write); ready when everything and the end of stream are sent.
    ///
    /// It wakes one task: the one that polled last. If the stream closes before, that is reported by `close`.
    fn poll_shutdown_write(self, context: &mut Context<'_>) -> Poll<()>;

    /// Sets whether the stream stays open for writing after the peer's `end`. Default: false.
    fn set_allow_half_open(self, allow: bool);

    /// Converts the stream into [`AsyncRead`](futures::AsyncRead) and [`AsyncWrite`](futures::AsyncWrite), for async code.
    ///
    /// The stream stays open for writing after the peer's end of stream: see [`set_allow_half_open`](Self::set_allow_half_open).
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
    /// let reply = uptick_event_loop::block_on(async {
    ///     let mut stream = DuplexResourceStream::new(ours)?.into_async();
    ///     stream.write_all(b"hello").await?;
    ///     stream.close().await?;
    ///     let mut reply = String::new();
    ///     stream.read_to_string(&mut reply).await?;
    ///     Ok::<_, std::io::Error>(reply)
    /// })??;
    /// assert_eq!(reply, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn into_async(self) -> AsyncDuplex<Self> {
        AsyncDuplex::new(self)
    }
}

/// A [`Transport`] that is readable and writable: it implements all stream traits.
pub trait DuplexTransport: Transport<Error: StdError + Send + Sync> {
    /// The event of a stream piped into this one.
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
