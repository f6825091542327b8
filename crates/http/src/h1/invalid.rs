//! Why a request is refused.

use http::StatusCode;

/// A request that is refused: the status to answer with, and what is wrong. Nothing that follows it on its connection
/// can be trusted to be a request, so the connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    status: StatusCode,
    reason: &'static str,
}

impl Invalid {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong with the request, for a log or a body of text.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) const fn new(status: StatusCode, reason: &'static str) -> Invalid {
        Invalid { status, reason }
    }

    pub(super) const fn bad(reason: &'static str) -> Invalid {
        Invalid::new(StatusCode::BAD_REQUEST, reason)
    }
}
