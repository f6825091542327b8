//! Times on the clock of the event loop.

use std::time::Instant;

use uptick_event_loop::driver;

pub(super) use uptick_event_loop::now;

/// Reads the clock, for durations that are measured from a call instead of the start of the iteration.
pub(super) fn current_time() -> Instant {
    let since_iteration_start = driver::current_time().saturating_sub(driver::elapsed());
    now() + since_iteration_start
}

/// Returns `true` if the time `at` passed during the last wait of the loop, so before the events that are handled now.
pub(super) fn passed_in_last_wait(at: Instant) -> bool {
    let now = now();
    let waited = driver::elapsed().saturating_sub(driver::handled_until());
    at <= now && now.saturating_duration_since(at) < waited
}
