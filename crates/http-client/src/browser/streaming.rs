//! A response whose body is read piece by piece.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, StatusCode};
use uptick_http::Channel;
use uptick_http::h1::{Fields, Trailers, Version};
use uptick_stream::ThroughStream;

use super::response::{HeadParts, Response, head_methods};
use crate::error::Error;
use crate::request::ResponseBody;

/// A response whose body is a [`Stream`] of bytes. Dropping it before the end of the body cancels the request.
///
/// The server is slowed down to the speed at which the body is read.
///
/// # Examples
/// ```no_run
/// use uptick_http_client::{Browser, Error};
///
/// uptick_event_loop::block_on(async {
///     let mut response = Browser::new().request_streaming("GET", "http://example.com/big").await?;
///     let mut length = 0;
///     while let Some(chunk) = response.chunk().await? {
///         length += chunk.len();
///     }
///     println!("{length} bytes");
///     Ok::<_, Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamingResponse {
    head: HeadParts,
    body: ResponseBody,
}

impl StreamingResponse {
    pub(crate) fn new(head: HeadParts, body: ResponseBody) -> StreamingResponse {
        StreamingResponse { head, body }
    }

    fn parts(&self) -> &HeadParts {
        &self.head
    }

    head_methods!();

    /// Waits for the next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// The body is incomplete: the connection ended, a timeout expired, a limit was exceeded, or decompression failed. Every further call returns the
    /// same error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.body.poll_chunk(context))
            .await
            .transpose()
    }

    /// Returns the trailers once the end of the body was read.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.body.trailers()
    }

    /// Reads the rest of the body into memory.
    ///
    /// # Errors
    /// Those of [`chunk`](StreamingResponse::chunk).
    pub async fn buffered(mut self) -> Result<Response, Error> {
        let body = poll_fn(|context| self.body.poll_collected(context)).await?;
        let trailers = self.body.take_trailers();
        Ok(Response::new(self.head, body, trailers))
    }

    /// Converts the body to a readable stream with the events `data`, `end`, `error` and `close`, for example for
    /// [`pipe`](uptick_stream::ReadableStream::pipe).
    pub fn into_stream(self) -> ThroughStream {
        uptick_stream::from_stream(self)
    }

    /// Returns the channel after a response with status 101 to a request with [`upgrade`](super::RequestBuilder::upgrade). It is paused, and keeps the
    /// bytes received after the response. Returns `None` for other responses, and if the connection has closed.
    pub fn into_upgraded(mut self) -> Option<Channel> {
        self.body.take_upgraded()
    }
}

impl Stream for StreamingResponse {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.body.poll_chunk(context)
    }
}

impl fmt::Debug for StreamingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingResponse")
            .field("url", &self.url())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
