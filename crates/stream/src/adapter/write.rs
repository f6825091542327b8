//! Writable streams as `AsyncWrite` and `Sink`.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::{AsyncWrite, Sink};
use uptick_emitter::ListenerId;

use crate::chunk::Chunk;
use crate::contract::{DuplexStream, WritableStream};
use crate::error::Error;

/// Maximum number of bytes that one `poll_write` accepts.
const MAX_WRITE: usize = 64 * 1024;

/// The state shared by the listeners and the writing task.
#[derive(Default)]
struct WriteState {
    /// Set when `write` returned `false`, until `drain`.
    full: bool,
    closed: bool,
    error: Option<Error>,
    waker: Option<Waker>,
}

/// The writing half of an adapter.
pub(super) struct WriteHalf<W: WritableStream> {
    pub(super) stream: W,
    shared: Rc<RefCell<WriteState>>,
    ids: [ListenerId; 3],
}

impl<W: WritableStream> WriteHalf<W> {
    pub(super) fn new(stream: W) -> Self {
        let shared = Rc::new(RefCell::new(WriteState::default()));
        let listener = |change: fn(&mut WriteState)| {
            let state = Rc::clone(&shared);
            move |()| {
                let mut shared = state.borrow_mut();
                change(&mut shared);
                let waker = shared.waker.take();
                drop(shared);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        };
        let drain = stream.on(W::DRAIN, listener(|shared| shared.full = false));
        let close = stream.on(W::CLOSE, listener(|shared| shared.closed = true));
        let state = Rc::clone(&shared);
        let error = stream.on(W::ERROR, move |error| {
            state.borrow_mut().error = Some(Error::from_stream(error));
        });
        shared.borrow_mut().closed = close == ListenerId::NONE;
        WriteHalf {
            stream,
            shared,
            ids: [drain, close, error],
        }
    }

    /// Polls until the stream is below its soft limit.
    pub(super) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(error) = &shared.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if shared.closed || !self.stream.is_writable() {
            return Poll::Ready(Err(Error::Closed.into()));
        }
        if shared.full {
            shared.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn send(&mut self, chunk: impl Chunk) {
        let full = !self.stream.write(chunk) && self.stream.is_writable();
        self.shared.borrow_mut().full = full;
    }

    pub(super) fn poll_write(
        &mut self,
        context: &Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_ready(context) {
            Poll::Ready(ready) => ready?,
            Poll::Pending => return Poll::Pending,
        }
        let count = buffer.len().min(MAX_WRITE);
        self.send(&buffer[..count]);
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_flush(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(error) = &shared.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if shared.full && !shared.closed {
            shared.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_close(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.stream.end();
        self.poll_closed(context)
    }

    fn poll_closed(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(error) = &shared.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if shared.closed {
            return Poll::Ready(Ok(()));
        }
        shared.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<S: DuplexStream> WriteHalf<S> {
    /// Ends the writing side; ready when everything is sent.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream.poll_shutdown_write(context);
        match self.poll_closed(context) {
            Poll::Pending => flushed.map(Ok),
            closed => closed,
        }
    }
}

impl<W: WritableStream> Drop for WriteHalf<W> {
    fn drop(&mut self) {
        for id in self.ids {
            self.stream.off(id);
        }
    }
}

/// A writable stream as [`AsyncWrite`]; returned by [`into_async_write`](WritableStream::into_async_write).
///
/// A write waits while the stream is full, which applies backpressure. `flush` waits until the queue is below the stream's
/// soft limit; the stream sends its queue without a flush. `close` ends the stream and waits until it has closed; by
/// then, everything has been sent. Dropping the adapter ends the stream as well.
///
/// # Cancel safety
/// A write whose future is dropped before it completes has written nothing.
pub struct AsyncWriter<W: WritableStream>(WriteHalf<W>);

impl<W: WritableStream> AsyncWriter<W> {
    pub(crate) fn new(stream: W) -> Self {
        AsyncWriter(WriteHalf::new(stream))
    }

    /// Returns the underlying stream.
    pub fn stream(&self) -> W {
        self.0.stream
    }
}

impl<W: WritableStream> Unpin for AsyncWriter<W> {}

impl<W: WritableStream> AsyncWrite for AsyncWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(context)
    }
}

impl<W: WritableStream> Drop for AsyncWriter<W> {
    fn drop(&mut self) {
        self.0.stream.end();
    }
}

impl<W: WritableStream> fmt::Debug for AsyncWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWriter").finish_non_exhaustive()
    }
}

/// A writable stream as a [`Sink`] of chunks; returned by [`into_sink`](WritableStream::into_sink).
///
/// Its backpressure, flush, close and drop are the same as for [`AsyncWriter`].
///
/// # Cancel safety
/// A `send` whose future is dropped has sent its chunk completely or not at all.
pub struct ChunkSink<W: WritableStream>(WriteHalf<W>);

impl<W: WritableStream> ChunkSink<W> {
    pub(crate) fn new(stream: W) -> Self {
        ChunkSink(WriteHalf::new(stream))
    }
}

impl<W: WritableStream> Unpin for ChunkSink<W> {}

impl<W: WritableStream, C: Chunk> Sink<C> for ChunkSink<W> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, chunk: C) -> io::Result<()> {
        if !self.0.stream.is_writable() {
            return Err(Error::Closed.into());
        }
        self.0.send(chunk);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(context)
    }
}

impl<W: WritableStream> Drop for ChunkSink<W> {
    fn drop(&mut self) {
        self.0.stream.end();
    }
}

impl<W: WritableStream> fmt::Debug for ChunkSink<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSink").finish_non_exhaustive()
    }
}
