//! Times on the clock of the loop.

use std::time::Instant;

use uptick_event_loop::driver;

pub(super) use uptick_event_loop::now;

/// Reads the clock: for what is measured from a call, and not from the beginning of the iteration.
pub(super) fn time_of_call() -> Instant {
    let behind = driver::time_of_call().saturating_sub(driver::elapsed());
    now() + behind
}

/// Returns whether a time came during the last wait of the loop: an event that is handled now came after it.
pub(super) fn came_in_last_wait(at: Instant) -> bool {
    let now = now();
    let waited = driver::elapsed().saturating_sub(driver::handled_until());
    at <= now && now.saturating_duration_since(at) < waited
}
