//! Why a body did not come.

use std::fmt::Display;

use thiserror::Error;
use uptick_emitter::Excerpt;

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
        /// The expected format.
        what: &'static str,
        /// The reason, cut to 256 bytes: it may quote the body.
        reason: Box<str>,
    },
    /// It is well-formed, but a value in it is missing or not of its type.
    #[error("{} in {what} is not valid: {reason}", Place(.path))]
    Data {
        /// The format of the body, with its article where it has one: `JSON`, `the form`.
        what: &'static str,
        /// The path of the value, such as `users[3].age`; empty if the error concerns the whole.
        path: Box<str>,
        /// The reason, cut to 256 bytes: it may quote the body.
        reason: Box<str>,
    },
}

/// The path of a value in a body, for an error text.
struct Place<'a>(&'a str);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => f.write_str("a value"),
            path => write!(f, "the value of \"{}\"", Excerpt::new(path)),
        }
    }
}

impl BodyError {
    /// Returns the error for a body that is not of a format.
    pub(crate) fn malformed(what: &'static str, reason: impl Display) -> Self {
        BodyError::Malformed {
            what,
            reason: Excerpt::new(reason).to_string().into(),
        }
    }

    /// Returns the error for a value in a body.
    pub(crate) fn data(
        what: &'static str,
        path: impl Into<Box<str>>,
        reason: impl Display,
    ) -> Self {
        BodyError::Data {
            what,
            path: path.into(),
            reason: Excerpt::new(reason).to_string().into(),
        }
    }

    /// The status with which a request is answered that has this error.
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::WrongType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Invalid(invalid) => invalid.status(),
            BodyError::Closed | BodyError::Malformed { .. } => StatusCode::BAD_REQUEST,
            BodyError::Data { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}
