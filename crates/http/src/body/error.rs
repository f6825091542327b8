//! Why a body did not come.

use thiserror::Error;

use crate::StatusCode;
use crate::h1::Invalid;

/// Why no more of a request's body comes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is more of it than the reader takes.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// The most that is taken.
        limit: usize,
    },
    /// The client has gone, or the request is over.
    #[error("the body broke off")]
    Closed,
    /// Too little of it came in the time for it.
    #[error("the body came too slowly")]
    TooSlow,
    /// Its framing is broken.
    #[error("{0}")]
    Invalid(Invalid),
    /// Its `Content-Type` is another one, or there is none.
    #[error("the Content-Type of the body is not {expected}")]
    WrongType {
        /// The one that is read.
        expected: &'static str,
    },
    /// It is not what was asked for: text that is not UTF-8, JSON that is none.
    #[error("the body is not {what}: {reason}")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it, cut to 256 bytes: it may quote the body.
        reason: Box<str>,
    },
}

impl BodyError {
    /// The status with which a request is answered that has this error.
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::WrongType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Invalid(invalid) => invalid.status(),
            BodyError::Closed | BodyError::Malformed { .. } => StatusCode::BAD_REQUEST,
        }
    }
}
