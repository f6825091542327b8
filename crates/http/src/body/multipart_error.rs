//! Errors of multipart bodies.

use std::error::Error as StdError;
use std::sync::Arc;

use thiserror::Error;

use super::BodyError;
use crate::StatusCode;

/// The error for a multipart body that could not be read. Needs the feature `multipart`.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// The request has no multipart body.
    #[error("the body is not multipart/form-data")]
    NotMultipart,
    /// The `Content-Type` has no boundary of 1 to 70 printable ASCII characters.
    #[error("the body has no valid boundary")]
    NoBoundary,
    /// The body is longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLong {
        /// [`MultipartLimits::total`](crate::MultipartLimits::total).
        limit: u64,
    },
    /// The body has more parts than the limit.
    #[error("the body has more than {limit} parts")]
    TooManyParts {
        /// [`MultipartLimits::parts`](crate::MultipartLimits::parts).
        limit: usize,
    },
    /// The headers of a part are longer than the limit.
    #[error("the headers of a part are longer than {limit} bytes")]
    HeadTooLong {
        /// [`MultipartLimits::head`](crate::MultipartLimits::head).
        limit: usize,
    },
    /// A part is longer than the limit.
    #[error("a part is longer than {limit} bytes")]
    PartTooLong {
        /// [`MultipartLimits::field`](crate::MultipartLimits::field), or
        /// [`MultipartLimits::file`](crate::MultipartLimits::file).
        limit: u64,
    },
    /// The body is malformed.
    #[error("the body is malformed: {reason}")]
    Malformed {
        /// The reason.
        reason: &'static str,
    },
    /// The body ended before its last boundary.
    #[error("the body is incomplete")]
    Incomplete,
    /// Reading the body failed.
    #[error("reading the body failed: {0}")]
    Body(Arc<dyn StdError + Send + Sync>),
    /// Saving a part to a file failed.
    #[error("saving a part failed: {0}")]
    Save(Arc<std::io::Error>),
}

impl MultipartError {
    pub(crate) fn malformed(reason: &'static str) -> MultipartError {
        MultipartError::Malformed { reason }
    }

    /// Returns the error for a body that cannot be read further.
    pub(crate) fn reading<E: StdError + Send + Sync + 'static>(error: E) -> MultipartError {
        match (&error as &dyn StdError).downcast_ref() {
            Some(&BodyError::TooLong { limit }) => MultipartError::TooLong {
                limit: limit as u64,
            },
            _ => MultipartError::Body(Arc::new(error)),
        }
    }

    /// Returns the status of the response for this error.
    pub fn status(&self) -> StatusCode {
        match self {
            MultipartError::NotMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            MultipartError::TooLong { .. }
            | MultipartError::TooManyParts { .. }
            | MultipartError::HeadTooLong { .. }
            | MultipartError::PartTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            MultipartError::NoBoundary
            | MultipartError::Malformed { .. }
            | MultipartError::Incomplete => StatusCode::BAD_REQUEST,
            MultipartError::Body(error) => {
                let status = error.downcast_ref().map(BodyError::status);
                status.unwrap_or(StatusCode::BAD_REQUEST)
            }
            MultipartError::Save(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Errors are equal if their texts are.
impl PartialEq for MultipartError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
