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

/// What listeners hand to the task that reads.
#[derive(Default)]
struct Inbox {
    chunks: VecDeque<Bytes>,
    held: usize,
    /// The stream is paused because enough is held.
    paused: bool,
    /// Nothing more will come.
    over: bool,
    /// Why, if it was not the end.
    error: Option<Error>,
    waker: Option<Waker>,
}

fn wake(inbox: &RefCell<Inbox>) {
    let waker = inbox.borrow_mut().waker.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The reading half of an adapter.
pub(super) struct Reading<R: ReadableStream> {
    stream: R,
    inbox: Rc<RefCell<Inbox>>,
    ids: [ListenerId; 4],
    /// The chunk that is being read.
    current: Bytes,
}

impl<R: ReadableStream> Reading<R> {
    pub(super) fn new(stream: R) -> Self {
        let inbox = Rc::new(RefCell::new(Inbox {
            over: !stream.is_readable(),
            ..Inbox::default()
        }));
        let state = Rc::clone(&inbox);
        let end = stream.on(R::END, move |()| {
            state.borrow_mut().over = true;
            wake(&state);
        });
        let state = Rc::clone(&inbox);
        let error = stream.on(R::ERROR, move |error| {
            state.borrow_mut().error = Some(Error::of(error));
        });
        let state = Rc::clone(&inbox);
        let close = stream.on(R::CLOSE, move |()| {
            let mut inbox = state.borrow_mut();
            if !inbox.over {
                inbox.over = true;
                inbox.error.get_or_insert(Error::Closed);
            }
            drop(inbox);
            wake(&state);
        });
        let state = Rc::clone(&inbox);
        let data = stream.on(R::DATA, move |chunk: Bytes| {
            let mut inbox = state.borrow_mut();
            inbox.held += chunk.len();
            inbox.chunks.push_back(chunk);
            let pauses = inbox.held >= READ_AHEAD;
            inbox.paused |= pauses;
            drop(inbox);
            if pauses {
                stream.pause();
            }
            wake(&state);
        });
        if close == ListenerId::NONE {
            inbox.borrow_mut().error = Some(Error::Closed);
        }
        Reading {
            stream,
            inbox,
            ids: [end, error, close, data],
            current: Bytes::new(),
        }
    }

    /// The next chunk; `None` at the end.
    fn poll_chunk(&mut self, context: &Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let mut inbox = self.inbox.borrow_mut();
        if let Some(chunk) = inbox.chunks.pop_front() {
            inbox.held -= chunk.len();
            let resumes = inbox.paused && inbox.held < READ_AHEAD;
            inbox.paused &= !resumes;
            drop(inbox);
            if resumes {
                self.stream.resume();
            }
            return Poll::Ready(Some(Ok(chunk)));
        }
        if inbox.over {
            return Poll::Ready(inbox.error.take().map(Err));
        }
        inbox.waker = Some(context.waker().clone());
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

impl<R: ReadableStream> Drop for Reading<R> {
    fn drop(&mut self) {
        self.detach();
    }
}

/// A readable stream as [`AsyncRead`] and [`AsyncBufRead`]; made by
/// [`into_async_read`](ReadableStream::into_async_read).
///
/// An error of the stream comes when all data before it is read. A stream that closes without an `end` gives
/// [`Error::Closed`] as an [`io::Error`] of kind `BrokenPipe`: what was read may be only a part. When it is dropped, the
/// stream closes.
///
/// # Cancel safety
/// A read whose future is dropped has read nothing: what has come waits for the next one.
///
/// # Limits
/// It holds 64 KiB and one chunk for a reader that is late; then it pauses the stream.
pub struct AsyncReader<R: ReadableStream>(Reading<R>);

impl<R: ReadableStream> AsyncReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        AsyncReader(Reading::new(stream))
    }

    /// The stream behind it.
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

/// The chunks of a readable stream as a [`Stream`]; made by [`into_chunks`](ReadableStream::into_chunks).
///
/// An error comes as the last item, behind all data. A stream that closes without an `end` gives [`Error::Closed`].
/// When it is dropped, the stream closes.
///
/// # Cancel safety
/// A `next` whose future is dropped has taken nothing.
///
/// # Limits
/// It holds 64 KiB and one chunk for a reader that is late; then it pauses the stream.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Chunks<R: ReadableStream>(Reading<R>);

impl<R: ReadableStream> Chunks<R> {
    pub(crate) fn new(stream: R) -> Self {
        Chunks(Reading::new(stream))
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
