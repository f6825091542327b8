//! Adapters between streams and the traits of `futures`.

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
use read::ReadHalf;
use write::WriteHalf;

/// Number of bytes that an adapter buffers for a slow reader before it pauses the stream: 64 KiB.
const READ_AHEAD: usize = 64 * 1024;

/// A duplex stream as [`AsyncRead`] and [`AsyncWrite`]; returned by [`into_async`](DuplexStream::into_async).
///
/// It reads and writes like [`AsyncReader`] and [`AsyncWriter`], except that each side ends separately:
///
/// | situation | behaviour |
/// |---|---|
/// | the peer ends | reading returns end of stream; writing is still possible, because [`set_allow_half_open`](DuplexStream::set_allow_half_open) is enabled |
/// | `close` | ready when all written data and end of stream are sent; reading is still possible |
/// | both sides have ended | the stream closes |
/// | it is dropped | calls [`end`](crate::WritableStream::end): written data is sent, received data is discarded |
///
/// # Cancel safety
/// A read or a write whose future is dropped before it completes has no effect: no data is lost or sent twice.
///
/// # Limits
/// The limits of [`AsyncReader`]. The time until the peer's end of stream is not limited; the reader can set a timeout.
pub struct AsyncDuplex<S: DuplexStream> {
    read_half: ReadHalf<S>,
    write_half: WriteHalf<S>,
}

impl<S: DuplexStream> AsyncDuplex<S> {
    pub(crate) fn new(stream: S) -> Self {
        stream.set_allow_half_open(true);
        AsyncDuplex {
            read_half: ReadHalf::new(stream),
            write_half: WriteHalf::new(stream),
        }
    }

    /// Returns the underlying stream.
    pub fn stream(&self) -> S {
        self.write_half.stream
    }
}

impl<S: DuplexStream> Unpin for AsyncDuplex<S> {}

impl<S: DuplexStream> AsyncRead for AsyncDuplex<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read_half.poll_read(context, buffer)
    }
}

impl<S: DuplexStream> AsyncBufRead for AsyncDuplex<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().read_half.poll_fill(context)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.read_half.consume(count);
    }
}

impl<S: DuplexStream> AsyncWrite for AsyncDuplex<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_half.poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_half.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_half.poll_shutdown(context)
    }
}

impl<S: DuplexStream> Drop for AsyncDuplex<S> {
    fn drop(&mut self) {
        let stream = self.write_half.stream;
        self.read_half.detach();
        stream.end();
        // Discards unread data, which would keep a stream without a peer from ending.
        stream.resume();
    }
}

impl<S: DuplexStream> fmt::Debug for AsyncDuplex<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncDuplex").finish_non_exhaustive()
    }
}
