//! How far the loop's time has lagged behind while callbacks ran.
//!
//! Activity is noted with the loop's time, so that no event reads a clock. A callback that has worked for long makes
//! that time old: a limit that counts from it would be over too early, by as much as the callbacks took. So the loop
//! notes each time at which it has lagged, and a limit that counts from such a time gets what is missing.

use crate::histogram::Histogram;

/// A lag of less than 4 ms is within the step of a [`Timestamp`](crate::driver::Timestamp).
const LEAST: u64 = 4_000_000;

/// How many lags are remembered one by one.
const RECENT: usize = 32;

/// A time that was the loop's for too long, and by how much, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    at: u64,
    length: u64,
}

/// The last lags, and the longest of those before.
#[derive(Debug)]
pub(crate) struct Lags {
    recent: [Lag; RECENT],
    next: usize,
    /// Of the lags that are no longer remembered: the time of the last and the length of the longest.
    older: Lag,
    /// How long callbacks have worked since the last wait.
    busy: u64,
    /// For how long callbacks have worked between two waits.
    histogram: Histogram,
}

impl Lags {
    pub(crate) fn new() -> Self {
        Lags {
            recent: [Lag::default(); RECENT],
            next: 0,
            older: Lag::default(),
            busy: 0,
            histogram: Histogram::new(),
        }
    }

    /// Notes that `before` was the loop's time until `now`.
    #[inline]
    pub(crate) fn note(&mut self, before: u64, now: u64) {
        let length = now.saturating_sub(before);
        self.busy += length;
        if length >= LEAST {
            self.remember(Lag { at: before, length });
        }
    }

    /// A wait begins: counts for how long callbacks have worked since the last one.
    #[inline]
    pub(crate) fn end_iteration(&mut self) {
        let busy = std::mem::take(&mut self.busy);
        self.histogram.observe_nanoseconds(busy);
    }

    /// Returns for how long callbacks have worked between two waits.
    pub(crate) fn histogram(&self) -> Histogram {
        self.histogram
    }

    #[cold]
    fn remember(&mut self, lag: Lag) {
        let forgotten = std::mem::replace(&mut self.recent[self.next], lag);
        self.next = (self.next + 1) % RECENT;
        if forgotten.length > 0 {
            self.older.at = forgotten.at;
            self.older.length = self.older.length.max(forgotten.length);
        }
    }

    /// By how much the loop's time lagged at most where it was between `from` and `to`, `to` not included.
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
    fn a_lag_counts_for_the_time_at_which_it_began_only() {
        let mut lags = Lags::new();
        lags.note(100 * MS, 600 * MS);
        assert_eq!(lags.longest(90 * MS, 101 * MS), 500 * MS);
        assert_eq!(lags.longest(101 * MS, 900 * MS), 0);
        assert_eq!(lags.longest(0, 100 * MS), 0);
    }

    #[test]
    fn of_lags_that_are_forgotten_the_longest_counts() {
        let mut lags = Lags::new();
        lags.note(100 * MS, 600 * MS);
        for second in 1..=RECENT as u64 + 1 {
            lags.note(second * 1000 * MS, (second * 1000 + 20) * MS);
        }
        assert_eq!(lags.longest(100 * MS, 101 * MS), 500 * MS);
        assert_eq!(lags.longest(1000 * MS, 1001 * MS), 500 * MS);
        assert_eq!(lags.longest(2000 * MS, 2001 * MS), 20 * MS);
    }

    #[test]
    fn the_work_between_two_waits_is_counted_once() {
        let mut lags = Lags::new();
        lags.note(100 * MS, 103 * MS);
        lags.note(103 * MS, 107 * MS);
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
    fn an_instant_of_work_is_no_lag() {
        let mut lags = Lags::new();
        lags.note(100 * MS, 103 * MS);
        assert_eq!(lags.longest(0, u64::MAX), 0);
    }
}
