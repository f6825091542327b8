//! The time of the loop, and how far callbacks make it lag behind.

use std::time::Duration;

use super::Inner;

impl Inner {
    /// Returns the loop's time, read anew if the loop does not run.
    #[inline]
    pub(crate) fn time(&self) -> u64 {
        if !self.running.get() {
            self.read_clock();
        }
        self.elapsed.get()
    }

    /// Returns the time of the call, for durations that begin with it. It does not change the loop's time.
    pub(crate) fn time_of_call(&self) -> u64 {
        nanoseconds(self.clock.elapsed()).max(self.elapsed.get())
    }

    /// Returns the time up to which readiness has been looked at and handled.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.get()
    }

    /// Reads the clock.
    pub(super) fn read_clock(&self) {
        self.set_time(self.clock.elapsed());
    }

    /// Reads the clock after callbacks, and notes how far they have made the loop's time lag behind.
    pub(super) fn read_clock_after_callbacks(&self, now: Duration) {
        let before = self.elapsed.get();
        self.set_time(now);
        self.lags.borrow_mut().note(before, self.elapsed.get());
    }

    /// Notes how far callbacks have made the loop's time lag behind, where deadlines may count from it.
    pub(super) fn note_lag(&self) {
        if !self.deadlines.borrow().is_empty() {
            self.read_clock_after_callbacks(self.clock.coarse());
        }
    }

    /// Counts for how long callbacks have worked since the last wait, where a clock was read behind them.
    pub(super) fn count_lag(&self) {
        if !self.deadlines.borrow().is_empty() || !self.timers.borrow().is_empty() {
            self.lags.borrow_mut().end_iteration();
        }
    }

    fn set_time(&self, now: Duration) {
        self.elapsed.set(nanoseconds(now).max(self.elapsed.get()));
    }
}

/// Returns a duration in nanoseconds; one that is too long counts as 584 years.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
