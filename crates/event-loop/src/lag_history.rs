//! The lag of the loop's time behind the clock while callbacks run.
//!
//! Activity is recorded with the loop's time, so that no event reads a clock. A long callback makes
//! that time stale: a timeout that counts from it would expire too early, by the duration of the callbacks. So the loop
//! records each time at which it lagged, and a timeout that counts from such a time is extended by the lag.

use crate::histogram::Histogram;

/// The shortest recorded lag, in nanoseconds. A shorter one is within the step of a [`Timestamp`](crate::driver::Timestamp).
const MIN_LAG: u64 = 4_000_000;

/// The number of lags that are stored individually.
const RECENT: usize = 32;

/// A value of the loop's time that became stale, and its lag, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    at: u64,
    length: u64,
}

/// The most recent lags, and the longest of the older ones.
#[derive(Debug)]
pub(crate) struct LagHistory {
    recent: [Lag; RECENT],
    next: usize,
    /// Summary of the older lags: the time of the last one and the length of the longest.
    older: Lag,
    /// Time that callbacks took since the last wait, in nanoseconds.
    busy: u64,
    /// Times that callbacks took between two waits.
    histogram: Histogram,
}

impl LagHistory {
    pub(crate) fn new() -> Self {
        LagHistory {
            recent: [Lag::default(); RECENT],
            next: 0,
            older: Lag::default(),
            busy: 0,
            histogram: Histogram::new(),
        }
    }

    /// Records that the loop's time was `before` until `now`.
    #[inline]
    pub(crate) fn record(&mut self, before: u64, now: u64) {
        let length = now.saturating_sub(before);
        self.busy += length;
        if length >= MIN_LAG {
            self.store(Lag { at: before, length });
        }
    }

    /// Adds the time that callbacks took since the last wait to the histogram. Called when a wait begins.
    #[inline]
    pub(crate) fn end_iteration(&mut self) {
        let busy = std::mem::take(&mut self.busy);
        self.histogram.observe_nanoseconds(busy);
    }

    /// Returns the times that callbacks took between two waits.
    pub(crate) fn histogram(&self) -> Histogram {
        self.histogram
    }

    #[cold]
    fn store(&mut self, lag: Lag) {
        let oldest = std::mem::replace(&mut self.recent[self.next], lag);
        self.next = (self.next + 1) % RECENT;
        if oldest.length > 0 {
            self.older.at = oldest.at;
            self.older.length = self.older.length.max(oldest.length);
        }
    }

    /// Returns the longest lag of the loop's time while its value was at least `from` and less than `to`.
    pub(crate) fn longest(&self, from: u64, to: u64) -> u64 {
        let recent = self
            .recent
            .iter()
            .filter(|lag| from <= lag.at && lag.at < to);
        let recent = recent.map(|lag| lag.length).max().unwrap_or(0);
        if from <= self.older.at {
            recent.max(self.older.length)
        } else {
            recent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_lag_counts_only_for_the_time_at_which_it_began() {
        let mut lags = LagHistory::new();
        lags.record(100 * MS, 600 * MS);
        assert_eq!(lags.longest(90 * MS, 101 * MS), 500 * MS);
        assert_eq!(lags.longest(101 * MS, 900 * MS), 0);
        assert_eq!(lags.longest(0, 100 * MS), 0);
    }

    #[test]
    fn the_longest_of_the_older_lags_counts() {
        let mut lags = LagHistory::new();
        lags.record(100 * MS, 600 * MS);
        for second in 1..=RECENT as u64 + 1 {
            lags.record(second * 1000 * MS, (second * 1000 + 20) * MS);
        }
        assert_eq!(lags.longest(100 * MS, 101 * MS), 500 * MS);
        assert_eq!(lags.longest(1000 * MS, 1001 * MS), 500 * MS);
        assert_eq!(lags.longest(2000 * MS, 2001 * MS), 20 * MS);
    }

    #[test]
    fn the_work_between_two_waits_is_counted_once() {
        let mut lags = LagHistory::new();
        lags.record(100 * MS, 103 * MS);
        lags.record(103 * MS, 107 * MS);
        lags.end_iteration();
        lags.end_iteration();
        let histogram = lags.histogram();
        assert_eq!((histogram.count(), histogram.sum().as_millis()), (2, 7));
        let up_to = |seconds| histogram.cumulative().find(|(bound, _)| *bound == seconds);
        assert_eq!(
            (up_to(0.005), up_to(0.01)),
            (Some((0.005, 1)), Some((0.01, 2)))
        );
    }

    #[test]
    fn a_short_callback_causes_no_lag() {
        let mut lags = LagHistory::new();
        lags.record(100 * MS, 103 * MS);
        assert_eq!(lags.longest(0, u64::MAX), 0);
    }
}
