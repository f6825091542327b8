//! The body of a request as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;

use super::BodyError;
use crate::connection::{self, At};

/// The pieces of a request's body, read from the connection as they are asked for: what is not asked for waits in the
/// socket, and then at the client. Ends with the body, or with an error.
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
    at: At,
    over: bool,
}

impl BodyReader {
    pub(crate) fn new(at: At) -> Self {
        BodyReader { at, over: false }
    }
}

impl Stream for BodyReader {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let polled = connection::poll_body(self.at, context);
        if !matches!(polled, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.over = true;
        }
        polled
    }
}
