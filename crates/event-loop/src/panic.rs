//! The edge at which a panic in a callback ends.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use uptick_emitter::Excerpt;

/// The most bytes of a panic message that are kept, since a message may quote what a peer has sent.
const MESSAGE: usize = 1024;

/// Runs `f`; a panic in it comes back as its message, of 1 KiB at most and with control characters escaped.
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

/// Returns the message of a caught panic, of 1 KiB at most and with control characters escaped.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a message");
    Excerpt::new(text).limit(MESSAGE).to_string()
}
