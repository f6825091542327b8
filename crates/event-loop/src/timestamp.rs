//! Timestamps of four bytes.

use std::time::Duration;

use crate::driver;
use crate::event_loop::nanoseconds;

/// A time on the loop's clock in four bytes, in steps of 2²⁴ ns (17 ms). It is for data that many objects store.
///
/// It wraps after two years; comparisons assume that two times are less than one year apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(u32);

/// The step in nanoseconds as a power of two.
const STEP: u32 = 24;

impl Timestamp {
    /// Returns the loop's time ([`driver::elapsed`]), rounded down.
    #[inline]
    pub fn now() -> Self {
        Self::of(driver::nanoseconds())
    }

    /// Returns the time of the call, rounded down. It reads the clock, so it is for infrequent events.
    pub fn of_call() -> Self {
        Self::of(nanoseconds(driver::time_of_call()))
    }

    #[inline]
    fn of(nanoseconds: u64) -> Self {
        Timestamp((nanoseconds >> STEP) as u32)
    }

    /// Returns this time plus `time`. More than a year counts as a year.
    ///
    /// The result is up to 50 ms later than the exact sum, because this time was rounded down and its event may have happened up to
    /// one step later.
    #[inline]
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let steps = (time.as_nanos() >> STEP).saturating_add(3);
        let steps = u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .min(i32::MAX as u32);
        Timestamp(self.0.wrapping_add(steps))
    }

    /// Returns `true` if this time is before another.
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

    /// Returns `true` if the timeout `limit` has expired, counted from this time, which is the loop's time of an event. Call it in
    /// [`Driver::expired`](crate::driver::Driver::expired).
    ///
    /// The timeout has expired when readiness was polled after its end. If the event happened after long callbacks, the
    /// loop's time was stale, and the timeout counts from the return of these callbacks.
    pub fn is_over(self, limit: Duration) -> bool {
        self.after(limit).has_come(self)
    }

    /// Returns `true` if this time, the end of a timeout that counts from `since`, has passed; see [`is_over`](Timestamp::is_over).
    pub fn has_come(self, since: Timestamp) -> bool {
        let (handled_until, lag) = driver::handled_until_and_lag(|handled_until| {
            let steps = Timestamp::of(handled_until).0.wrapping_sub(since.0) as i32;
            let from =
                (handled_until >> STEP).saturating_sub(u64::try_from(steps).unwrap_or(0)) << STEP;
            (from, from + (1 << STEP))
        });
        // The end of a lag is read from the coarse clock, which may be one step late.
        let lag = if lag == 0 { 0 } else { (lag >> STEP) + 2 };
        let lag = u32::try_from(lag).unwrap_or(u32::MAX);
        !Timestamp::of(handled_until).is_before(Timestamp(self.0.wrapping_add(lag)))
    }

    /// Returns the duration until this time; zero if it has passed.
    pub fn left(self) -> Duration {
        let steps = self.0.wrapping_sub(Self::now().0) as i32;
        Duration::from_nanos(u64::from(u32::try_from(steps).unwrap_or(0)) << STEP)
    }

    /// Returns the duration since this time.
    pub fn age(self) -> Duration {
        Duration::from_nanos(u64::from(Self::now().0.wrapping_sub(self.0)) << STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_time_is_not_before_an_earlier_one_even_across_the_wrap() {
        let early = Timestamp(u32::MAX - 2);
        let late = early.after(Duration::from_secs(1));
        assert!(early.is_before(late) && !late.is_before(early));
        assert!(late.0 < early.0);
        assert_eq!((early.earlier(late), late.earlier(early)), (early, early));
    }

    #[test]
    fn the_remaining_time_is_at_least_the_requested_time() {
        for time in [0, 1, 16, 17, 1000, 86_400_000].map(Duration::from_millis) {
            let start = Timestamp::now();
            let left = start.after(time).left() + start.age();
            assert!(left >= time, "{left:?} for {time:?}");
        }
    }
}
