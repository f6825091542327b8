//! The error for an invalid message.

use http::StatusCode;

/// An invalid message: the response status and the reason. In HTTP/1, the bytes after it cannot be interpreted, so the connection closes
/// after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidMessage {
    status: StatusCode,
    reason: &'static str,
}

impl InvalidMessage {
    pub(crate) const LINE_TOO_LONG: InvalidMessage =
        InvalidMessage::new(StatusCode::URI_TOO_LONG, "the request line is too long");
    pub(crate) const HEAD_TOO_LARGE: InvalidMessage = InvalidMessage::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the headers of the request are too large",
    );
    pub(crate) const TOO_MANY_FIELDS: InvalidMessage = InvalidMessage::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "the request has too many headers",
    );

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the reason, for a log or a text body.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> InvalidMessage {
        InvalidMessage { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> InvalidMessage {
        InvalidMessage::new(StatusCode::BAD_REQUEST, reason)
    }
}
