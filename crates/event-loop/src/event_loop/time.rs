//! The loop's time, and its lag behind the clock while callbacks run.

use std::time::Duration;

use super::LoopState;

impl LoopState {
    /// Returns the loop's time, read from the clock if the loop is not running.
    #[inline]
    pub(crate) fn time(&self) -> u64 {
        if !self.running.get() {
            self.read_clock();
        }
        self.elapsed.get()
    }

    /// Returns the time of the call, for durations that count from it. It does not change the loop's time.
    pub(crate) fn time_of_call(&self) -> u64 {
        nanoseconds(self.clock.elapsed()).max(self.elapsed.get())
    }

    /// Returns the time up to which readiness was polled and handled.
    pub(crate) fn handled_until(&self) -> u64 {
        self.handled_until.get()
    }

    /// Sets the loop's time from the clock.
    pub(super) fn read_clock(&self) {
        self.set_time(self.clock.elapsed());
    }

    /// Sets the loop's time after callbacks, and records its lag.
    pub(super) fn read_clock_after_callbacks(&self, now: Duration) {
        let before = self.elapsed.get();
        self.set_time(now);
        self.lags.borrow_mut().record(before, self.elapsed.get());
    }

    /// Records the lag of the loop's time if deadlines may count from it.
    pub(super) fn record_lag(&self) {
        if !self.deadlines.borrow().is_empty() {
            self.read_clock_after_callbacks(self.clock.coarse());
        }
    }

    /// Adds the time that callbacks took since the last wait to the histogram, if a clock was read after them.
    pub(super) fn count_lag(&self) {
        if !self.deadlines.borrow().is_empty() || !self.timers.borrow().is_empty() {
            self.lags.borrow_mut().end_iteration();
        }
    }

    fn set_time(&self, now: Duration) {
        self.elapsed.set(nanoseconds(now).max(self.elapsed.get()));
    }
}

/// Converts a duration to nanoseconds, 584 years at most.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
