//! Budgets for behaviour that costs the receiver more than the sender.

use std::time::Duration;

/// A token bucket: it starts full, each charge takes tokens, and time refills it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Tokens left, in thousandths.
    left: u64,
    /// Time of the last refill, in milliseconds.
    refilled: u64,
    /// Maximum number of tokens.
    capacity: u32,
    /// Tokens refilled per second.
    rate: u32,
}

impl Bucket {
    pub(super) fn new(capacity: u32, rate: u32) -> Bucket {
        Bucket {
            left: u64::from(capacity) * 1000,
            refilled: 0,
            capacity,
            rate,
        }
    }

    /// Takes tokens. Returns `false` if there are not enough.
    pub(super) fn charge(&mut self, tokens: u32, now: Duration) -> bool {
        let millis = u64::from(now.subsec_millis());
        let now = now.as_secs().saturating_mul(1000).saturating_add(millis);
        let elapsed = now.saturating_sub(self.refilled);
        self.refilled = self.refilled.max(now);
        let refill = elapsed.saturating_mul(u64::from(self.rate));
        self.left = self.left.saturating_add(refill).min(self.full());
        match self.left.checked_sub(u64::from(tokens) * 1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Returns tokens.
    #[inline]
    pub(super) fn refund(&mut self, tokens: u32) {
        self.left = (self.left + u64::from(tokens) * 1000).min(self.full());
    }

    fn full(&self) -> u64 {
        u64::from(self.capacity) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_its_capacity_at_once_and_its_rate_afterwards() {
        let mut bucket = Bucket::new(10, 2);
        let now = Duration::from_secs(1000);
        assert_eq!((0..20).filter(|_| bucket.charge(1, now)).count(), 10);
        let half = now + Duration::from_millis(499);
        assert!(!bucket.charge(1, half));
        assert!(bucket.charge(1, now + Duration::from_millis(500)));
        let later = now + Duration::from_secs(3);
        assert_eq!((0..20).filter(|_| bucket.charge(1, later)).count(), 5);
        let much_later = now + Duration::from_secs(1000);
        assert_eq!((0..20).filter(|_| bucket.charge(1, much_later)).count(), 10);
    }

    #[test]
    fn the_sum_of_charges_is_bounded_over_time() {
        let mut bucket = Bucket::new(100, 10);
        let charged = (0..100_000)
            .filter(|step| bucket.charge(1, Duration::from_millis(*step)))
            .count();
        assert!((1090..=1100).contains(&charged), "{charged}");
    }

    #[test]
    fn a_clock_that_goes_back_refills_nothing() {
        let mut bucket = Bucket::new(1, 1000);
        assert!(bucket.charge(1, Duration::from_secs(10)));
        assert!(!bucket.charge(1, Duration::from_secs(5)));
        assert!(!bucket.charge(1, Duration::from_secs(10)));
        bucket.refund(5);
        assert!(bucket.charge(1, Duration::from_secs(5)) && !bucket.charge(1, Duration::ZERO));
    }
}
