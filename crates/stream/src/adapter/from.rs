//! Event streams from implementations of the `futures` traits.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Sink, SinkExt, Stream, StreamExt,
};
use pin_project::pin_project;
use uptick_event_loop::spawn;

use super::READ_AHEAD;
use crate::composite::CompositeStream;
use crate::error::Error;
use crate::through::{AdapterRole, NextOutput, ThroughStream, TransformError};
use crate::transport::SOFT_LIMIT;

/// Maximum number of chunks passed on in one poll, before other tasks run.
const BUDGET: usize = 16;

/// Creates a readable stream from an [`AsyncRead`], which a task of this thread's loop reads.
///
/// The stream emits `data`, `end`, `error` and `close`; it is not writable. When it closes, the reader is dropped.
///
/// # Limits
/// It reads at most 64 KiB and one chunk ahead of its listeners.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use futures::io::Cursor;
/// use uptick_emitter::Emitter;
/// use uptick_stream::from_async_read;
///
/// let stream = from_async_read(Cursor::new("hello"));
/// stream.on("data", |chunk: Bytes| assert_eq!(chunk, "hello"));
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn from_async_read(reader: impl AsyncRead + 'static) -> ThroughStream {
    source(ReaderChunks {
        reader,
        buffer: Vec::new(),
    })
}

/// Creates a writable stream from an [`AsyncWrite`], which a task of this thread's loop writes to.
///
/// The stream emits `drain`, `pipe`, `error` and `close`; it is not readable. `close` is emitted when the writer is closed.
///
/// # Limits
/// The limits of a write queue: 64 KiB soft, 16 MiB hard.
pub fn from_async_write(writer: impl AsyncWrite + 'static) -> ThroughStream {
    target(writer.into_sink().sink_map_err(Error::write))
}

/// Creates a duplex stream from an object that is readable and writable, such as a connection of another library.
///
/// # Limits
/// The limits of [`from_async_read`] and [`from_async_write`].
pub fn from_async(duplex: impl AsyncRead + AsyncWrite + 'static) -> CompositeStream {
    let (reader, writer) = duplex.split();
    CompositeStream::new(from_async_read(reader), from_async_write(writer))
}

/// Creates a readable stream from a [`Stream`] of bytes, which a task of this thread's loop polls.
///
/// The stream emits `data`, `end`, `error` and `close`; it is not writable. When it closes, the [`Stream`] is dropped.
///
/// # Limits
/// It polls at most 64 KiB and one item ahead of its listeners.
pub fn from_stream<B, E>(stream: impl Stream<Item = Result<B, E>> + 'static) -> ThroughStream
where
    B: Into<Bytes> + 'static,
    E: Into<TransformError> + 'static,
{
    source(stream.map(|item| item.map(Into::into).map_err(inner)))
}

/// Creates a writable stream from a [`Sink`] of bytes, which a task of this thread's loop feeds.
///
/// The stream emits `drain`, `pipe`, `error` and `close`; it is not readable. `close` is emitted when the sink is closed.
///
/// # Limits
/// The limits of a write queue: 64 KiB soft, 16 MiB hard.
pub fn from_sink<E>(sink: impl Sink<Bytes, Error = E> + 'static) -> ThroughStream
where
    E: Into<TransformError> + 'static,
{
    target(sink.sink_map_err(inner))
}

fn inner(error: impl Into<TransformError>) -> Error {
    Error::Inner {
        source: Arc::from(error.into()),
    }
}

fn source(chunks: impl Stream<Item = Result<Bytes, Error>> + 'static) -> ThroughStream {
    let stream = ThroughStream::for_adapter(AdapterRole::Source, READ_AHEAD);
    spawn(SourcePump { chunks, stream });
    stream
}

fn target(sink: impl Sink<Bytes, Error = Error> + 'static) -> ThroughStream {
    let stream = ThroughStream::for_adapter(AdapterRole::Target, SOFT_LIMIT);
    spawn(TargetPump {
        sink,
        stream,
        flushed: true,
    });
    stream
}

/// The chunks read from a reader.
#[pin_project]
struct ReaderChunks<R> {
    #[pin]
    reader: R,
    /// Allocated by the first read.
    buffer: Vec<u8>,
}

impl<R: AsyncRead> Stream for ReaderChunks<R> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        this.buffer.resize(READ_AHEAD, 0);
        let result: io::Result<usize> = ready!(this.reader.poll_read(context, this.buffer));
        Poll::Ready(match result {
            Ok(0) => None,
            Ok(count) => Some(Ok(Bytes::copy_from_slice(&this.buffer[..count]))),
            Err(error) => Some(Err(Error::read(error))),
        })
    }
}

/// A task that pushes chunks to a stream while it has room; it ends when either of the two ends.
#[pin_project]
struct SourcePump<S> {
    #[pin]
    chunks: S,
    stream: ThroughStream,
}

impl<S: Stream<Item = Result<Bytes, Error>>> Future for SourcePump<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let stream = *this.stream;
        for _ in 0..BUDGET {
            if !stream.notify(context) {
                return Poll::Ready(());
            }
            if stream.is_full() {
                return Poll::Pending;
            }
            match ready!(this.chunks.as_mut().poll_next(context)) {
                Some(Ok(chunk)) => drop(stream.push(chunk)),
                Some(Err(error)) => {
                    stream.fail_after_output(error);
                    return Poll::Ready(());
                }
                None => {
                    stream.finish();
                    return Poll::Ready(());
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A task that sends the written chunks of a stream to a sink, and closes the stream when the sink is closed.
#[pin_project]
struct TargetPump<S> {
    #[pin]
    sink: S,
    stream: ThroughStream,
    flushed: bool,
}

impl<S: Sink<Bytes, Error = Error>> Future for TargetPump<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stream = self.stream;
        match ready!(self.poll_pump(context)) {
            Ok(()) => stream.close(),
            Err(error) => stream.fail(error),
        }
        Poll::Ready(())
    }
}

impl<S: Sink<Bytes, Error = Error>> TargetPump<S> {
    fn poll_pump(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut this = self.project();
        for _ in 0..BUDGET {
            if !this.stream.notify(context) {
                return Poll::Ready(Ok(()));
            }
            ready!(this.sink.as_mut().poll_ready(context))?;
            match this.stream.take() {
                NextOutput::Chunk(chunk) => {
                    this.sink.as_mut().start_send(chunk)?;
                    *this.flushed = false;
                }
                NextOutput::End => return this.sink.poll_close(context),
                NextOutput::Pending => {
                    if !*this.flushed {
                        ready!(this.sink.as_mut().poll_flush(context))?;
                        *this.flushed = true;
                    }
                    return Poll::Pending;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
