//! Errors of request bodies.

use std::fmt::Display;

use thiserror::Error;
use uptick_emitter::Excerpt;

use crate::StatusCode;
use crate::h1::InvalidMessage;

/// The error for a request body that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The connection was closed, or the request has ended.
    #[error("the body is incomplete")]
    Closed,
    /// The body was received too slowly.
    #[error("the body was received too slowly")]
    TooSlow,
    /// The framing of the body is malformed.
    #[error("{0}")]
    InvalidMessage(InvalidMessage),
    /// The `Content-Type` is missing or is not the expected one.
    #[error("the Content-Type of the body is not {expected}")]
    WrongType {
        /// The expected `Content-Type`.
        expected: &'static str,
    },
    /// The body is malformed, such as text that is not UTF-8 or a document that is not JSON.
    #[error("the body is not {format}: {reason}")]
    Malformed {
        /// The expected format.
        format: &'static str,
        /// The reason, shortened to 256 bytes, as it may quote the body.
        reason: Box<str>,
    },
    /// The body is well-formed, but a value in it is missing or not of its type.
    #[error("{} in {format} is not valid: {reason}", ValuePath(.path))]
    Data {
        /// The format of the body, with its article if it has one: `JSON`, `the form`.
        format: &'static str,
        /// The path of the value, such as `users[3].age`; empty if the error concerns the whole body.
        path: Box<str>,
        /// The reason, shortened to 256 bytes, as it may quote the body.
        reason: Box<str>,
    },
}

/// The path of a value in a body, formatted for an error text.
struct ValuePath<'a>(&'a str);

impl Display for ValuePath<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => f.write_str("a value"),
            path => write!(f, "the value of \"{}\"", Excerpt::new(path)),
        }
    }
}

impl BodyError {
    /// Returns the error for a malformed body.
    pub(crate) fn malformed(format: &'static str, reason: impl Display) -> Self {
        BodyError::Malformed {
            format,
            reason: Excerpt::new(reason).to_string().into(),
        }
    }

    /// Returns the error for a value in a body.
    pub(crate) fn data(
        format: &'static str,
        path: impl Into<Box<str>>,
        reason: impl Display,
    ) -> Self {
        BodyError::Data {
            format,
            path: path.into(),
            reason: Excerpt::new(reason).to_string().into(),
        }
    }

    /// Returns the status of the response for this error.
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::WrongType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::InvalidMessage(invalid) => invalid.status(),
            BodyError::Closed | BodyError::Malformed { .. } => StatusCode::BAD_REQUEST,
            BodyError::Data { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}
