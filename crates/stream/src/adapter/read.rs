//! Readable streams as `AsyncRead`, `AsyncBufRead` and `Stream`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use futures::{AsyncBufRead, AsyncRead, Stream};
use uptick_emitter::ListenerId;

use super::READ_AHEAD;
use crate::contract::ReadableStream;
use crate::error::Error;

/// The state shared by the listeners and the reading task.
#[derive(Default)]
struct ReadState {
    chunks: VecDeque<Bytes>,
    buffered: usize,
    /// Set while the stream is paused because the buffer is full.
    paused: bool,
    /// Set when no more data follows.
    ended: bool,
    /// The reason, if it was not the end of the stream.
    error: Option<Error>,
    waker: Option<Waker>,
}

fn wake(shared: &RefCell<ReadState>) {
    let waker = shared.borrow_mut().waker.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The reading half of an adapter.
pub(super) struct ReadHalf<R: ReadableStream> {
    stream: R,
    shared: Rc<RefCell<ReadState>>,
    ids: [ListenerId; 4],
    /// The chunk that is being read.
    current: Bytes,
}

impl<R: ReadableStream> ReadHalf<R> {
    pub(super) fn new(stream: R) -> Self {
        let shared = Rc::new(RefCell::new(ReadState {
            ended: !stream.is_readable(),
            ..ReadState::default()
        }));
        let state = Rc::clone(&shared);
        let end = stream.on(R::END, move |()| {
            state.borrow_mut().ended = true;
            wake(&state);
        });
        let state = Rc::clone(&shared);
        let error = stream.on(R::ERROR, move |error| {
            state.borrow_mut().error = Some(Error::from_stream(error));
        });
        let state = Rc::clone(&shared);
        let close = stream.on(R::CLOSE, move |()| {
            let mut shared = state.borrow_mut();
            if !shared.ended {
                shared.ended = true;
                shared.error.get_or_insert(Error::Closed);
            }
            drop(shared);
            wake(&state);
        });
        let state = Rc::clone(&shared);
        let data = stream.on(R::DATA, move |chunk: Bytes| {
            let mut shared = state.borrow_mut();
            shared.buffered += chunk.len();
            shared.chunks.push_back(chunk);
            let must_pause = shared.buffered >= READ_AHEAD;
            shared.paused |= must_pause;
            drop(shared);
            if must_pause {
                stream.pause();
            }
            wake(&state);
        });
        if close == ListenerId::NONE {
            shared.borrow_mut().error = Some(Error::Closed);
        }
        ReadHalf {
            stream,
            shared,
            ids: [end, error, close, data],
            current: Bytes::new(),
        }
    }

    /// Returns the next chunk; `None` at the end of the stream.
    fn poll_chunk(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(chunk) = shared.chunks.pop_front() {
            shared.buffered -= chunk.len();
            let must_resume = shared.paused && shared.buffered < READ_AHEAD;
            shared.paused &= !must_resume;
            drop(shared);
            if must_resume {
                self.stream.resume();
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        if shared.ended {
            return Poll::Ready(shared.error.take().map(Err));
        }
        shared.waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_fill(&mut self, context: &Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.current.is_empty() {
            match self.poll_chunk(context) {
                Poll::Ready(Some(Ok(chunk))) => self.current = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(&self.current))
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }

    pub(super) fn poll_read(
        &mut self,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let available = match self.poll_fill(context) {
            Poll::Ready(available) => available?,
            Poll::Pending => return Poll::Pending,
        };
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    pub(super) fn detach(&self) {
        for id in self.ids {
            self.stream.off(id);
        }
    }
}

impl<R: ReadableStream> Drop for ReadHalf<R> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// A readable stream as [`AsyncRead`] and [`AsyncBufRead`]; returned by
/// [`into_async_read`](ReadableStream::into_async_read).
///
/// An error of the stream is returned after all data before it is read. A stream that closes without an `end` returns
/// [`Error::Closed`] as an [`io::Error`] of kind `BrokenPipe`: the data may be incomplete. Dropping the adapter closes the
/// stream.
///
/// # Cancel safety
/// A read whose future is dropped has read nothing; received data is kept for the next read.
///
/// # Limits
/// It buffers 64 KiB and one chunk for a slow reader; then it pauses the stream.
pub struct AsyncReader<R: ReadableStream>(ReadHalf<R>);

impl<R: ReadableStream> AsyncReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        AsyncReader(ReadHalf::new(stream))
    }

    /// Returns the underlying stream.
    pub fn stream(&self) -> R {
        self.0.stream
    }
}

impl<R: ReadableStream> Unpin for AsyncReader<R> {}

impl<R: ReadableStream> AsyncRead for AsyncReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(context, buffer)
    }
}

impl<R: ReadableStream> AsyncBufRead for AsyncReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().0.poll_fill(context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.0.consume(count);
    }
}

impl<R: ReadableStream> Drop for AsyncReader<R> {
    fn drop(&mut self) {
        self.0.detach();
        self.0.stream.close();
    }
}

impl<R: ReadableStream> fmt::Debug for AsyncReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncReader").finish_non_exhaustive()
    }
}

/// The chunks of a readable stream as a [`Stream`]; returned by [`into_chunks`](ReadableStream::into_chunks).
///
/// An error is the last item, after all data. A stream that closes without an `end` yields [`Error::Closed`]. Dropping the
/// adapter closes the stream.
///
/// # Cancel safety
/// A `next` whose future is dropped has consumed nothing.
///
/// # Limits
/// It buffers 64 KiB and one chunk for a slow reader; then it pauses the stream.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Chunks<R: ReadableStream>(ReadHalf<R>);

impl<R: ReadableStream> Chunks<R> {
    pub(crate) fn new(stream: R) -> Self {
        Chunks(ReadHalf::new(stream))
    }
}

impl<R: ReadableStream> Unpin for Chunks<R> {}

impl<R: ReadableStream> Stream for Chunks<R> {
    type Item = io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Bytes>>> {
        self.0
            .poll_chunk(context)
            .map(|next| next.map(|result| result.map_err(io::Error::from)))
    }
}

impl<R: ReadableStream> Drop for Chunks<R> {
    fn drop(&mut self) {
        self.0.detach();
        self.0.stream.close();
    }
}

impl<R: ReadableStream> fmt::Debug for Chunks<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").finish_non_exhaustive()
    }
}
