//! Times in four bytes.

use std::time::Duration;

use uptick_event_loop::driver;

/// A time on the loop's clock in 16 ms steps; wraps after two years.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timestamp(u32);

/// The step of a timestamp.
const STEP: Duration = Duration::from_millis(16);

impl Timestamp {
    #[inline]
    pub(super) fn now() -> Self {
        Timestamp((driver::elapsed().as_millis() >> 4) as u32)
    }

    /// The time that is so much later, rounded up.
    #[inline]
    pub(super) fn after(self, time: Duration) -> Self {
        let steps = (time.as_millis() >> 4).saturating_add(1);
        let steps = u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .min(i32::MAX as u32);
        Timestamp(self.0.wrapping_add(steps))
    }

    /// Whether this time comes before another.
    #[inline]
    pub(super) fn is_before(self, other: Timestamp) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// How long it is until then.
    pub(super) fn left(self) -> Duration {
        let steps = self.0.wrapping_sub(Self::now().0) as i32;
        STEP * u32::try_from(steps).unwrap_or(0)
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
    }
}
