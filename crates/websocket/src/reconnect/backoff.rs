//! How long is waited between attempts.

use std::time::Duration;

/// The shortest wait, so that nothing spins: 10 ms.
const LEAST: Duration = Duration::from_millis(10);

/// How long is waited between attempts: twice as long each time, and never exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Backoff {
    /// The wait after so many attempts in a row that came to nothing, a fifth more or less as `chance` says.
    pub(super) fn delay(self, failed: u32, chance: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1));
        let delay = self.first.saturating_mul(doubled.unwrap_or(u32::MAX));
        let delay = delay.clamp(LEAST, self.most.max(LEAST));
        let share = f64::from(chance) / f64::from(u32::MAX);
        delay.mul_f64(0.8 + 0.4 * share).max(LEAST)
    }
}

/// Returns the wait that a server asked for plus up to a fifth, by `chance`, so that its clients do not come back all at once.
pub(super) fn asked_for(wait: Duration, chance: u32) -> Duration {
    let share = f64::from(chance) / f64::from(u32::MAX);
    wait.mul_f64(1.0 + 0.2 * share).max(LEAST)
}

/// A number that nobody can foresee; the middle where the system has none.
pub(super) fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(500),
        most: Duration::from_secs(30),
    };

    #[test]
    fn the_wait_doubles_up_to_the_most() {
        let middle = |failed| BACKOFF.delay(failed, u32::MAX / 2).as_secs_f64();
        for (failed, seconds) in [
            (1, 0.5),
            (2, 1.0),
            (3, 2.0),
            (6, 16.0),
            (7, 30.0),
            (40, 30.0),
            (u32::MAX, 30.0),
        ] {
            let delay = middle(failed);
            assert!((delay - seconds).abs() < 0.001, "{failed}: {delay}");
        }
    }

    #[test]
    fn it_is_a_fifth_more_or_less() {
        assert_eq!(BACKOFF.delay(2, 0), Duration::from_millis(800));
        assert_eq!(BACKOFF.delay(2, u32::MAX), Duration::from_millis(1200));
    }

    #[test]
    fn a_wait_that_was_asked_for_is_not_shortened() {
        let minute = Duration::from_secs(60);
        assert_eq!(asked_for(minute, 0), minute);
        assert_eq!(asked_for(minute, u32::MAX), Duration::from_secs(72));
        assert_eq!(asked_for(Duration::ZERO, 0), LEAST);
    }

    #[test]
    fn no_wait_is_too_short_to_matter_or_too_long_to_be_counted() {
        let none = Backoff {
            first: Duration::ZERO,
            most: Duration::ZERO,
        };
        assert_eq!(none.delay(1, 0), LEAST);
        let endless = Backoff {
            first: Duration::MAX,
            most: Duration::from_secs(1),
        };
        assert_eq!(endless.delay(9, u32::MAX), Duration::from_millis(1200));
    }
}
