//! Errors of tests.

use std::sync::Arc;
use std::time::Duration;

use crate::StatusCode;

/// The reason why a test has no response.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The server would refuse the request before routing it.
    #[error("sending {request} failed: {reason} ({status})")]
    InvalidRequest {
        /// Method and target of the request.
        request: String,
        /// The status with which a connection would be answered.
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
    /// The loop has nothing left to wait for.
    #[error(
        "waiting for the response to {request} failed: nothing that runs or waits on the loop will send it"
    )]
    NoResponse {
        /// Method and target of the request.
        request: String,
    },
    /// The response, or the next piece of its body, did not come in time.
    #[error(
        "waiting for the response to {request} failed: it did not come in {waited:?} of real time"
    )]
    Timeout {
        /// Method and target of the request.
        request: String,
        /// The time.
        waited: Duration,
    },
    /// The response broke off: its body failed, or had not the length that was announced. The log has the reason.
    #[error("reading the response to {request} failed: it broke off")]
    Cut {
        /// Method and target of the request.
        request: String,
    },
    /// The client had gone.
    #[error("reading the response to {request} failed: the client has gone")]
    Gone {
        /// Method and target of the request.
        request: String,
    },
    /// The body is longer than a test takes.
    #[error("reading the response to {request} failed: the body has more than {limit} bytes")]
    TooLong {
        /// Method and target of the request.
        request: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The body of the response is not the JSON that was expected.
    #[error("decoding the response as JSON failed: {source}; the body is {body}")]
    Json {
        /// The beginning of the body.
        body: String,
        /// The cause.
        source: Arc<serde_json::Error>,
    },
    /// The loop cannot run: it is running already, or its poller fails.
    #[error("waiting for the response to {request} failed: {source}")]
    Loop {
        /// Method and target of the request.
        request: String,
        /// The cause.
        source: uptick_event_loop::Error,
    },
}
