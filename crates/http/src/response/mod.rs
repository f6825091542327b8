//! What a handler answers with.

mod body;

pub use body::{Body, BodyStream};

use crate::{HeaderMap, HttpError, StatusCode};

/// A response: a status, fields and a body.
///
/// A field that cannot be sent, such as one with a line break in its value, makes the whole response an error (500,
/// logged): nothing of it reaches the client.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    content_type: Option<&'static str>,
    headers: Option<Box<HeaderMap>>,
    body: Body,
    failure: Option<HttpError>,
}

/// What the connection makes bytes of.
pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    /// The Content-Type, unless it is among the fields.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Option<Box<HeaderMap>>,
    pub(crate) body: Body,
}

impl Response {
    /// A response without a body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            headers: None,
            body: Body::Empty,
            failure: None,
        }
    }

    fn of(content_type: &'static str, body: Body) -> Self {
        Self {
            content_type: Some(content_type),
            body,
            ..Self::new(StatusCode::OK)
        }
    }

    /// 200 with text: `text/plain; charset=utf-8`.
    pub fn plain(text: impl Into<Body>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// 200 with bytes: `application/octet-stream`.
    pub fn binary(bytes: impl Into<Body>) -> Self {
        Self::of("application/octet-stream", bytes.into())
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same response with another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The error that the response is, if it is one; what the server's error callback gets to shape.
    pub(crate) fn take_failure(&mut self) -> Option<HttpError> {
        self.failure.take()
    }

    pub(crate) fn into_parts(self) -> Parts {
        Parts {
            status: self.status,
            content_type: self.content_type,
            headers: self.headers,
            body: self.body,
        }
    }
}

impl From<HttpError> for Response {
    fn from(error: HttpError) -> Self {
        Self {
            failure: Some(error),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
