//! The emitter of a request's events, for an exchange whose handles may all be dropped.

use uptick_emitter::{Emitter, Listeners};

use super::request::Request;
use super::state::Exchange;

/// The emitter of a request's events.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a>(pub(super) &'a Exchange);

impl Emitter for Incoming<'_> {
    type Events = Request;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.0.request_listeners(f)
    }
}
