//! Catching panics of callbacks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use uptick_emitter::Excerpt;

/// The maximum length of a panic message in bytes. A message may quote data of a peer.
const MESSAGE: usize = 1024;

/// Runs `f` and catches a panic. The panic message is cut to 1 KiB, and its control characters are escaped.
///
/// With `panic = "abort"` a panic ends the process, as always.
///
/// # Errors
/// The panic message if `f` panicked.
#[inline]
pub fn catch<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| message(&*payload))
}

/// Runs a callback, and logs a panic in it at error level.
pub(crate) fn catch_and_log(what: &str, f: impl FnOnce()) {
    if let Err(message) = catch(f) {
        tracing::error!("a {what} callback panicked: {message}");
    }
}

/// Returns the message of a caught panic, cut to 1 KiB and with control characters escaped.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a panic without a message");
    Excerpt::new(text).limit(MESSAGE).to_string()
}
