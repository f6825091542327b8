//! Errors of test requests.

use std::sync::Arc;
use std::time::Duration;

use crate::StatusCode;

/// The error for a test request without a complete response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The server would refuse the request before routing it.
    #[error("sending {request} failed: {reason} ({status})")]
    InvalidRequest {
        /// Method and target of the request.
        request: String,
        /// The status that a connection would receive.
        status: StatusCode,
        /// The reason.
        reason: &'static str,
    },
    /// The server was closed.
    #[error("sending {request} failed: the server is closed")]
    ServerClosed {
        /// Method and target of the request.
        request: String,
    },
    /// The loop has no more work.
    #[error(
        "waiting for the response to {request} failed: the loop has no more work, so no response can follow"
    )]
    NoResponse {
        /// Method and target of the request.
        request: String,
    },
    /// The response, or the next piece of its body, was not received in time.
    #[error(
        "waiting for the response to {request} failed: it was not received within {waited:?} of real time"
    )]
    Timeout {
        /// Method and target of the request.
        request: String,
        /// The real time of the wait.
        waited: Duration,
    },
    /// The response was aborted: its body failed, or did not have the announced length. The reason is logged.
    #[error("reading the response to {request} failed: it was aborted")]
    Aborted {
        /// Method and target of the request.
        request: String,
    },
    /// The client was disconnected.
    #[error("reading the response to {request} failed: the client is disconnected")]
    Disconnected {
        /// Method and target of the request.
        request: String,
    },
    /// The body exceeds the limit for tests.
    #[error("reading the response to {request} failed: the body has more than {limit} bytes")]
    TooLong {
        /// Method and target of the request.
        request: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The body of the response is not JSON of the expected type.
    #[error("decoding the response as JSON failed: {source}; the body is {body}")]
    Json {
        /// The start of the body.
        body: String,
        /// The cause.
        source: Arc<serde_json::Error>,
    },
    /// The loop cannot run, because it is already running or its poller fails.
    #[error("waiting for the response to {request} failed: {source}")]
    Loop {
        /// Method and target of the request.
        request: String,
        /// The cause.
        source: uptick_event_loop::Error,
    },
}
