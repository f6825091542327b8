//! The progress of a request, for its errors.

use std::cell::{Cell, RefCell};

use http::{Method, StatusCode};

use super::Plan;
use crate::browser::Response;
use crate::error::{Error, ErrorKind, ErrorParts, Failure};
use crate::url::Url;

/// The last hop of a request, and its attempts.
pub(crate) struct Progress {
    hop: RefCell<(Method, Url)>,
    status: Cell<Option<StatusCode>>,
    attempts: Cell<u32>,
    is_reused: Cell<bool>,
}

impl Progress {
    pub(super) fn new(plan: &Plan) -> Progress {
        Progress {
            hop: RefCell::new((plan.method.clone(), plan.url.clone())),
            status: Cell::new(None),
            attempts: Cell::new(0),
            is_reused: Cell::new(false),
        }
    }

    /// Begins the next hop.
    pub(super) fn begin_hop(&self, method: &Method, url: &Url) {
        *self.hop.borrow_mut() = (method.clone(), url.clone());
        self.status.set(None);
        self.attempts.set(0);
        self.is_reused.set(false);
    }

    /// Records that the request was begun on a connection.
    pub(super) fn begin_attempt(&self, is_reused: bool) {
        self.attempts.set(self.attempts.get() + 1);
        self.is_reused.set(is_reused);
    }

    /// Records that nothing of the last attempt was sent.
    pub(super) fn undo_attempt(&self) {
        self.attempts.set(self.attempts.get().saturating_sub(1));
    }

    pub(super) fn set_status(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    pub(super) fn is_reused(&self) -> bool {
        self.is_reused.get()
    }

    /// Creates the error of the request.
    pub(super) fn error(&self, failure: Failure) -> Error {
        Error::of(self.parts(failure.kind, failure.reason, None))
    }

    fn parts(
        &self,
        kind: ErrorKind,
        reason: std::borrow::Cow<'static, str>,
        response: Option<Response>,
    ) -> ErrorParts {
        let hop = self.hop.borrow();
        ErrorParts {
            kind,
            request: format!("{} {}", hop.0, hop.1.as_str()),
            reason,
            url: Some(hop.1.as_str().to_owned()),
            status: self.status.get(),
            attempts: self.attempts.get(),
            is_reused: self.is_reused.get(),
            response,
        }
    }
}

impl Error {
    /// Creates the error of a response with a status of 400 or above.
    pub(super) fn of_status(progress: &Progress, response: Response) -> Error {
        let reason = format!("the server responded with {}", response.status());
        Error::of(progress.parts(ErrorKind::Status, reason.into(), Some(response)))
    }
}
