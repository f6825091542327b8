//! The emitter of request events, for an exchange that may have no handles left.

use uptick_emitter::{Emitter, Listeners};

use super::request::Request;
use super::state::Exchange;

/// The emitter of request events.
#[derive(Clone, Copy)]
pub(super) struct RequestEmitter<'a>(pub(super) &'a Exchange);

impl Emitter for RequestEmitter<'_> {
    type Events = Request;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.0.request_listeners(f)
    }
}
