//! Delays between the attempts of an operation that fails repeatedly.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::jitter;

/// Exponential backoff with random jitter: the delays between the attempts of an operation that fails repeatedly, such as connecting to a
/// server.
///
/// The delay doubles with each consecutive failure up to a maximum. Jitter spreads the attempts of many clients that failed at the same time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// assert_eq!(backoff.delay(1), Duration::from_millis(500));
/// assert_eq!(backoff.delay(3), Duration::from_secs(2));
/// assert_eq!(backoff.delay(20), Duration::from_secs(30));
///
/// let spread = backoff.with_jitter(20, 20);
/// assert!(spread.delays(2).contains(&spread.delay(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    min: Duration,
    /// Maximum random reduction of a delay, in percent.
    below: u32,
    /// Maximum random increase of a delay, in percent.
    above: u32,
}

impl Backoff {
    /// Creates a backoff without jitter from the first and the maximum delay.
    pub const fn new(first: Duration, max: Duration) -> Self {
        Backoff {
            first,
            max,
            min: Duration::ZERO,
            below: 0,
            above: 0,
        }
    }

    /// Sets the delay after the first failure. Default: the argument of [`new`](Backoff::new).
    #[must_use]
    pub const fn with_first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// Sets the maximum delay without jitter. Default: the argument of [`new`](Backoff::new).
    #[must_use]
    pub const fn with_max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets the minimum delay, which takes precedence over the maximum, to prevent a busy loop. Default: zero.
    #[must_use]
    pub const fn with_min(mut self, min: Duration) -> Self {
        self.min = min;
        self
    }

    /// Sets by how much a delay is at most randomly reduced or increased, in percent. The reduction is at most 100. Default: 0 and 0.
    #[must_use]
    pub const fn with_jitter(mut self, below: u32, above: u32) -> Self {
        self.below = if below > 100 { 100 } else { below };
        self.above = above;
        self
    }

    /// Returns a random delay after `failed` consecutive failures.
    pub fn delay(&self, failed: u32) -> Duration {
        jitter(self.delays(failed))
    }

    /// Returns the range of the delays after `failed` consecutive failures.
    pub fn delays(&self, failed: u32) -> RangeInclusive<Duration> {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1));
        let delay = self.first.saturating_mul(doubled.unwrap_or(u32::MAX));
        let delay = delay.min(self.max).max(self.min);
        let percent = delay / 100;
        let shortest = delay.saturating_sub(percent.saturating_mul(self.below));
        let longest = delay.saturating_add(percent.saturating_mul(self.above));
        shortest.max(self.min)..=longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_delay_doubles_up_to_the_maximum() {
        let backoff = Backoff::new(MS(500), MS(30_000));
        for (failed, delay) in [
            (0, 500),
            (1, 500),
            (2, 1000),
            (3, 2000),
            (6, 16_000),
            (7, 30_000),
            (40, 30_000),
            (u32::MAX, 30_000),
        ] {
            assert_eq!(backoff.delay(failed), MS(delay), "{failed}");
        }
    }

    #[test]
    fn jitter_reduces_or_increases_the_delay_by_a_share() {
        let backoff = Backoff::new(MS(500), MS(30_000)).with_jitter(20, 20);
        assert_eq!(backoff.delays(2), MS(800)..=MS(1200));
        let reduced = backoff.with_jitter(50, 0);
        assert_eq!(reduced.delays(1), MS(250)..=MS(500));
        assert_eq!(reduced.with_jitter(200, 0).delays(1), MS(0)..=MS(500));
        for failed in 0..40 {
            let delay = backoff.delay(failed);
            assert!(backoff.delays(failed).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn extreme_delays_are_limited() {
        let min = Backoff::new(Duration::ZERO, Duration::ZERO).with_min(MS(10));
        assert_eq!(min.delay(1), MS(10));
        assert_eq!(min.with_jitter(20, 0).delay(1), MS(10));
        let longest = Backoff::new(Duration::MAX, MS(1000)).with_jitter(20, 20);
        assert_eq!(*longest.delays(9).end(), MS(1200));
        let unlimited = Backoff::new(Duration::MAX, Duration::MAX).with_jitter(20, 50);
        assert_eq!(*unlimited.delays(9).end(), Duration::MAX);
    }
}
