//! Times in four bytes.

use std::time::Duration;

use crate::driver;
use crate::event_loop::nanoseconds;

/// A time on the loop's clock in four bytes, for what is kept for each of many things: in steps of 2²⁴ ns (17 ms).
///
/// It wraps after two years; times are compared as if they were less than one year apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(u32);

/// The step in nanoseconds as a power of two.
const STEP: u32 = 24;

impl Timestamp {
    /// The loop's time ([`driver::elapsed`]), rounded down.
    #[inline]
    pub fn now() -> Self {
        Self::of(driver::nanoseconds())
    }

    /// The time of the call, rounded down: for what does not happen often.
    pub fn of_call() -> Self {
        Self::of(nanoseconds(driver::time_of_call()))
    }

    #[inline]
    fn of(nanoseconds: u64) -> Self {
        Timestamp((nanoseconds >> STEP) as u32)
    }

    /// The time that is so much later. More than a year counts as a year.
    ///
    /// It is up to 50 ms later than asked for: this time was rounded down, and is that of something that happened at
    /// most one step later.
    #[inline]
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let steps = (time.as_nanos() >> STEP).saturating_add(3);
        let steps = u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .min(i32::MAX as u32);
        Timestamp(self.0.wrapping_add(steps))
    }

    /// Whether this time comes before another.
    #[inline]
    pub fn is_before(self, other: Timestamp) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Returns the earlier of two times.
    #[inline]
    #[must_use]
    pub fn earlier(self, other: Timestamp) -> Timestamp {
        match other.is_before(self) {
            true => other,
            false => self,
        }
    }

    /// Whether `limit` is over that counts from this time, the loop's when something happened; to be asked in
    /// [`Driver::expired`](crate::driver::Driver::expired).
    ///
    /// It is over when readiness was looked at after it. If callbacks had worked for long before what happened, the
    /// loop's time was old, and the limit counts from when they had returned.
    pub fn is_over(self, limit: Duration) -> bool {
        self.after(limit).has_come(self)
    }

    /// [`is_over`](Timestamp::is_over) for the time `self`, the end of a limit that counts from `since`.
    pub fn has_come(self, since: Timestamp) -> bool {
        let (seen, lag) = driver::seen_and_lag(|seen| {
            let steps = Timestamp::of(seen).0.wrapping_sub(since.0) as i32;
            let from = (seen >> STEP).saturating_sub(u64::try_from(steps).unwrap_or(0)) << STEP;
            (from, from + (1 << STEP))
        });
        // The end of a lag is read from the coarse clock, which may be a step late.
        let lag = if lag == 0 { 0 } else { (lag >> STEP) + 2 };
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        !Timestamp::of(seen).is_before(Timestamp(self.0.wrapping_add(lag)))
    }

    /// How long it is until then; zero if it has passed.
    pub fn left(self) -> Duration {
        let steps = self.0.wrapping_sub(Self::now().0) as i32;
        Duration::from_nanos(u64::from(u32::try_from(steps).unwrap_or(0)) << STEP)
    }

    /// How long ago it was.
    pub fn age(self) -> Duration {
        Duration::from_nanos(u64::from(Self::now().0.wrapping_sub(self.0)) << STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_time_is_not_before_an_earlier_one_also_across_the_wrap() {
        let early = Timestamp(u32::MAX - 2);
        let late = early.after(Duration::from_secs(1));
        assert!(early.is_before(late) && !late.is_before(early));
        assert!(late.0 < early.0);
        assert_eq!((early.earlier(late), late.earlier(early)), (early, early));
    }

    #[test]
    fn what_is_left_of_a_time_is_at_least_what_was_asked_for() {
        for time in [0, 1, 16, 17, 1000, 86_400_000].map(Duration::from_millis) {
            let start = Timestamp::now();
            let left = start.after(time).left() + start.age();
            assert!(left >= time, "{left:?} for {time:?}");
        }
    }
}
