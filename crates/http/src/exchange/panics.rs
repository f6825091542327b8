//! Panics of handlers, middleware and streamed bodies.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use uptick_event_loop::catch;

use crate::{HttpError, Response};

/// Awaits the future of a handler or a middleware, and converts a panic to an error response.
pub(crate) async fn contained(future: impl Future<Output = Option<Response>>) -> Option<Response> {
    let mut future = pin!(future);
    poll_fn(|context| {
        catch(|| future.as_mut().poll(context))
            .unwrap_or_else(|message| Poll::Ready(Some(panicked(message))))
    })
    .await
}

/// Returns the error response for a panic.
pub(crate) fn panicked(message: String) -> Response {
    HttpError::panicked(message).into()
}
