//! The error for an invalid message.

use http::StatusCode;

/// An invalid message: the response status and the reason. In HTTP/1, the bytes after it cannot be interpreted, so the connection closes
/// after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidMessage {
    status: StatusCode,
    reason: &'static str,
    exceeds_limit: bool,
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

    /// Returns `true` if the message may be valid, but exceeds a limit.
    pub fn exceeds_limit(&self) -> bool {
        self.exceeds_limit
    }

    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> InvalidMessage {
        InvalidMessage {
            status,
            reason,
            // Content Too Large, URI Too Long, Request Header Fields Too Large.
            exceeds_limit: matches!(status.as_u16(), 413 | 414 | 431),
        }
    }

    /// Creates the error for a response that exceeds a limit.
    pub(crate) const fn response_limit(reason: &'static str) -> InvalidMessage {
        InvalidMessage {
            status: StatusCode::BAD_GATEWAY,
            reason,
            exceeds_limit: true,
        }
    }

    /// Returns the same error for a response: with the status that a gateway sends to its client.
    pub(crate) const fn for_response(self) -> InvalidMessage {
        InvalidMessage {
            status: StatusCode::BAD_GATEWAY,
            ..self
        }
    }

    pub(crate) const fn bad(reason: &'static str) -> InvalidMessage {
        InvalidMessage::new(StatusCode::BAD_REQUEST, reason)
    }
}
