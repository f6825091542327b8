//! The request body as a stream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;

use super::state::Exchange;
use crate::body::BodyError;

/// A stream of the pieces of a request body. Pieces are read from the connection on demand: unread data stays in the socket buffer, and
/// flow control then slows down the client. The stream ends with the body, or after an error.
///
/// # Examples
/// ```
/// use futures::StreamExt;
/// use uptick_http::{HttpError, Request};
///
/// async fn count(req: Request) -> Result<String, HttpError> {
///     let (mut body, mut count) = (req.body_stream(), 0);
///     while let Some(piece) = body.next().await {
///         count += piece?.len();
///     }
///     Ok(format!("{count} bytes"))
/// }
/// # let _ = count;
/// ```
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct BodyReader {
    exchange: Rc<Exchange>,
    over: bool,
    /// Number of bytes read so far.
    taken: u64,
    limit: usize,
}

impl BodyReader {
    pub(super) fn new(exchange: Rc<Exchange>) -> Self {
        BodyReader {
            exchange,
            over: false,
            taken: 0,
            limit: usize::MAX,
        }
    }

    /// Sets the maximum number of bytes. The reader fails with [`BodyError::TooLong`] as soon as the `Content-Length` or a chunk size
    /// announces more. Default: no limit.
    pub fn limited(self, limit: usize) -> Self {
        BodyReader { limit, ..self }
    }
}

impl Stream for BodyReader {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let polled = self.exchange.poll_body(self.taken, self.limit, context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(piece))) => self.taken += piece.len() as u64,
            Poll::Ready(_) => self.over = true,
        }
        polled
    }
}
