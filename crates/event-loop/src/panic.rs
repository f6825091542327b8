//! The edge at which a panic in a callback ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic in it comes back as its message.
///
/// With `panic = "abort"` a panic ends the process, as always.
///
/// # Errors
/// When `f` panicked.
#[inline]
pub fn catch<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| message(&*payload))
}

/// Runs a callback for which nobody answers; a panic in it is logged at error level.
pub(crate) fn contain(what: &str, f: impl FnOnce()) {
    if let Err(message) = catch(f) {
        tracing::error!("a {what} callback panicked: {message}");
    }
}

pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
