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

/// How much one `poll_write` takes at most.
const PIECE: usize = 64 * 1024;

/// What listeners tell the task that writes.
#[derive(Default)]
struct Outbox {
    /// `write` gave `false`, and `drain` has not come yet.
    full: bool,
    closed: bool,
    error: Option<Error>,
    waker: Option<Waker>,
}

/// The writing half of an adapter.
pub(super) struct Writing<W: WritableStream> {
    pub(super) stream: W,
    outbox: Rc<RefCell<Outbox>>,
    ids: [ListenerId; 3],
}

impl<W: WritableStream> Writing<W> {
    pub(super) fn new(stream: W) -> Self {
        let outbox = Rc::new(RefCell::new(Outbox::default()));
        let listener = |change: fn(&mut Outbox)| {
            let state = Rc::clone(&outbox);
            move |()| {
                let mut outbox = state.borrow_mut();
                change(&mut outbox);
                let waker = outbox.waker.take();
                drop(outbox);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        };
        let drain = stream.on(W::DRAIN, listener(|outbox| outbox.full = false));
        let close = stream.on(W::CLOSE, listener(|outbox| outbox.closed = true));
        let state = Rc::clone(&outbox);
        let error = stream.on(W::ERROR, move |error| {
            state.borrow_mut().error = Some(Error::of(error));
        });
        outbox.borrow_mut().closed = close == ListenerId::NONE;
        Writing {
            stream,
            outbox,
            ids: [drain, close, error],
        }
    }

    /// Waits for room.
    pub(super) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outbox.borrow_mut();
        if let Some(error) = &outbox.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if outbox.closed || !self.stream.is_writable() {
            return Poll::Ready(Err(Error::Closed.into()));
        }
        if outbox.full {
            outbox.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn send(&mut self, chunk: impl Chunk) {
        let full = !self.stream.write(chunk) && self.stream.is_writable();
        self.outbox.borrow_mut().full = full;
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
        let count = buffer.len().min(PIECE);
        self.send(&buffer[..count]);
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_flush(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outbox.borrow_mut();
        if let Some(error) = &outbox.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if outbox.full && !outbox.closed {
            outbox.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_close(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.stream.end();
        self.poll_closed(context)
    }

    fn poll_closed(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outbox.borrow_mut();
        if let Some(error) = &outbox.error {
            return Poll::Ready(Err(error.clone().into()));
        }
        if outbox.closed {
            return Poll::Ready(Ok(()));
        }
        outbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<S: DuplexStream> Writing<S> {
    /// Ends the writing side, and waits until everything is sent.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.stream.poll_shutdown_write(context);
        match self.poll_closed(context) {
            Poll::Pending => shut.map(Ok),
            closed => closed,
        }
    }
}

impl<W: WritableStream> Drop for Writing<W> {
    fn drop(&mut self) {
        for id in self.ids {
            self.stream.off(id);
        }
    }
}

/// A writable stream as [`AsyncWrite`]; made by [`into_async_write`](WritableStream::into_async_write).
///
/// A write waits while the stream is full, so the writer goes at the pace of the reader. `flush` waits until less waits
/// than the stream's soft limit; the stream sends what it has without being asked. `close` ends the stream and waits
/// until it has closed: then everything is sent. When it is dropped, the stream ends likewise.
///
/// # Cancel safety
/// A write whose future is dropped was not taken, or was ready.
pub struct AsyncWriter<W: WritableStream>(Writing<W>);

impl<W: WritableStream> AsyncWriter<W> {
    pub(crate) fn new(stream: W) -> Self {
        AsyncWriter(Writing::new(stream))
    }

    /// The stream behind it.
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

/// A writable stream as a [`Sink`] of whatever may be written; made by [`into_sink`](WritableStream::into_sink).
///
/// It waits, flushes, closes and drops as [`AsyncWriter`] does.
///
/// # Cancel safety
/// A `send` whose future is dropped was taken whole or not at all.
pub struct ChunkSink<W: WritableStream>(Writing<W>);

impl<W: WritableStream> ChunkSink<W> {
    pub(crate) fn new(stream: W) -> Self {
        ChunkSink(Writing::new(stream))
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
