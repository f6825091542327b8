//! The server's part in responses.

use std::rc::Rc;

use super::state::Exchange;
use crate::Response;

/// The error pages, the callbacks for responses, and the limit of bodies: the site that a request began with.
pub(crate) trait Policy {
    /// Returns the number of bytes up to which a body is read whole.
    fn body_limit(&self) -> usize;

    /// Returns whether [`finish`](Policy::finish) does anything.
    fn finishes(&self) -> bool;

    /// Passes a response through the callbacks.
    fn finish(&self, exchange: &Rc<Exchange>, response: Response) -> Response;

    /// Logs an error, and returns its page.
    fn error_page(&self, exchange: &Rc<Exchange>, response: Response) -> Response;
}
