//! Streams as the traits of `futures`, and the other way round.

mod from;
mod read;
mod write;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncBufRead, AsyncRead, AsyncWrite};

pub use from::{from_async, from_async_read, from_async_write, from_sink, from_stream};
pub use read::{AsyncReader, Chunks};
pub use write::{AsyncWriter, ChunkSink};

use crate::contract::DuplexStream;
use read::Reading;
use write::Writing;

/// How much an adapter holds for a reader that is late, before it pauses the stream: 64 KiB.
const READ_AHEAD: usize = 64 * 1024;

/// A duplex stream as [`AsyncRead`] and [`AsyncWrite`]; made by
/// [`into_async`](DuplexStream::into_async).
///
/// Reading and writing are as with [`AsyncReader`] and [`AsyncWriter`], but for the end, which each side has on its own:
///
/// | what happens | what follows |
/// |---|---|
/// | the peer ends | there is no more to read; writing goes on, as [`set_allow_half_open`](DuplexStream::set_allow_half_open) is set |
/// | `close` | what was written is sent, the peer is told of the end, and then it is ready; reading goes on |
/// | both have ended | the stream has closed |
/// | it is dropped | the stream [`end`](crate::WritableStream::end)s: what was written is sent, what still comes is discarded |
///
/// # Cancel safety
/// A read or a write whose future is dropped has done nothing, or was ready: nothing is lost or sent twice.
///
/// # Limits
/// Those of [`AsyncReader`]. How long the peer may take to end is for the one who reads to say.
pub struct AsyncDuplex<S: DuplexStream> {
    reading: Reading<S>,
    writing: Writing<S>,
}

impl<S: DuplexStream> AsyncDuplex<S> {
    pub(crate) fn new(stream: S) -> Self {
        stream.set_allow_half_open(true);
        AsyncDuplex {
            reading: Reading::new(stream),
            writing: Writing::new(stream),
        }
    }

    /// The stream behind it.
    pub fn stream(&self) -> S {
        self.writing.stream
    }
}

impl<S: DuplexStream> Unpin for AsyncDuplex<S> {}

impl<S: DuplexStream> AsyncRead for AsyncDuplex<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reading.poll_read(context, buffer)
    }
}

impl<S: DuplexStream> AsyncBufRead for AsyncDuplex<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading.poll_fill(context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.reading.consume(count);
    }
}

impl<S: DuplexStream> AsyncWrite for AsyncDuplex<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writing.poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writing.poll_shutdown(context)
    }
}

impl<S: DuplexStream> Drop for AsyncDuplex<S> {
    fn drop(&mut self) {
        let stream = self.writing.stream;
        self.reading.detach();
        stream.end();
        // What nobody will read keeps a stream without a peer from its end.
        stream.resume();
    }
}

impl<S: DuplexStream> fmt::Debug for AsyncDuplex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncDuplex").finish_non_exhaustive()
    }
}
