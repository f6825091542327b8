//! Delays between attempts.

use std::time::Duration;

/// Minimum delay, to prevent a busy loop: 10 ms.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// Exponential backoff with random jitter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) initial: Duration,
    pub(super) max: Duration,
}

impl Backoff {
    /// Returns the delay after `failed` consecutive failed attempts; `random` adds or subtracts up to a fifth.
    pub(super) fn delay(self, failed: u32, random: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1));
        let delay = self.initial.saturating_mul(doubled.unwrap_or(u32::MAX));
        let delay = delay.clamp(MIN_DELAY, self.max.max(MIN_DELAY));
        let share = f64::from(random) / f64::from(u32::MAX);
        delay.mul_f64(0.8 + 0.4 * share).max(MIN_DELAY)
    }
}

/// Returns the delay requested by a server plus up to a fifth, depending on `random`, so that its clients do not all reconnect at once.
pub(super) fn with_jitter(wait: Duration, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    wait.mul_f64(1.0 + 0.2 * share).max(MIN_DELAY)
}

/// Returns a random number; the middle of the range if the system has no random numbers.
pub(super) fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        initial: Duration::from_millis(500),
        max: Duration::from_secs(30),
    };

    #[test]
    fn the_delay_doubles_up_to_the_maximum() {
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
    fn jitter_adds_or_subtracts_up_to_a_fifth() {
        assert_eq!(BACKOFF.delay(2, 0), Duration::from_millis(800));
        assert_eq!(BACKOFF.delay(2, u32::MAX), Duration::from_millis(1200));
    }

    #[test]
    fn a_requested_delay_is_not_shortened() {
        let minute = Duration::from_secs(60);
        assert_eq!(with_jitter(minute, 0), minute);
        assert_eq!(with_jitter(minute, u32::MAX), Duration::from_secs(72));
        assert_eq!(with_jitter(Duration::ZERO, 0), MIN_DELAY);
    }

    #[test]
    fn extreme_delays_are_limited() {
        let none = Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
        };
        assert_eq!(none.delay(1, 0), MIN_DELAY);
        let endless = Backoff {
            initial: Duration::MAX,
            max: Duration::from_secs(1),
        };
        assert_eq!(endless.delay(9, u32::MAX), Duration::from_millis(1200));
    }
}
