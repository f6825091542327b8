//! The requests of an event source.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::StatusCode;

use crate::error::Error;

/// A request in progress. Dropping it cancels the request.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<OpenedStream, Error>>>>;

/// The body of a response. Dropping it ends the request.
pub(super) type StreamBody = Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>;

/// Sends the requests of an event source.
pub(super) trait StreamConnector {
    /// Sends a request, with the header `Last-Event-ID` unless the id is empty.
    fn open(&self, last_event_id: &str) -> Opening;
}

/// A response, whose redirects were followed.
pub(super) struct OpenedStream {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) url: String,
    pub(super) body: StreamBody,
}
