//! Random durations, to spread events over time. They are not suitable for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::event_loop::nanoseconds;

thread_local! {
    /// The state of the generator (SplitMix64), seeded by the system.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

/// Returns a random duration in a range, for the delays of many peers or tasks that should not end at the same time. For an empty range
/// it returns the start.
///
/// It is fast and not cryptographic: an observer of some of the durations can predict others.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::jitter;
///
/// let delay = jitter(Duration::from_secs(1)..=Duration::from_secs(5));
/// assert!(delay >= Duration::from_secs(1) && delay <= Duration::from_secs(5));
/// ```
pub fn jitter(range: RangeInclusive<Duration>) -> Duration {
    let (start, end) = range.into_inner();
    let span = nanoseconds(end.saturating_sub(start));
    start.saturating_add(Duration::from_nanos(below(span.saturating_add(1))))
}

/// Returns a random number below `bound`; 0 for a bound of 0.
pub(crate) fn below(bound: u64) -> u64 {
    let random = STATE.try_with(|state| {
        let seed = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(seed);
        mix(seed)
    });
    let product = u128::from(random.unwrap_or(u64::MAX / 2)) * u128::from(bound);
    (product >> 64) as u64
}

fn mix(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    seed ^ (seed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_durations_are_spread_over_the_whole_range() {
        let range = Duration::from_secs(1)..=Duration::from_secs(2);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            let time = jitter(range.clone());
            assert!(range.contains(&time), "{time:?}");
            let tenth = (time.as_millis() as usize - 1000) / 100;
            tenths[tenth.min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| *count > 700), "{tenths:?}");
    }

    #[test]
    fn an_empty_range_returns_its_start() {
        let second = Duration::from_secs(1);
        assert_eq!(jitter(second..=second), second);
        let reversed = RangeInclusive::new(second, Duration::ZERO);
        assert_eq!(jitter(reversed), second);
        assert!(jitter(Duration::ZERO..=Duration::MAX) > Duration::ZERO);
    }
}
