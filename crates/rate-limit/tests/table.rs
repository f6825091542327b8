//! More keys than the table holds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use uptick_rate_limit::{Limit, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn both() -> [Limit; 2] {
    [
        Limit::fixed_window(10, MINUTE),
        Limit::token_bucket(10, MINUTE),
    ]
}

fn limiter(limit: Limit, max_keys: usize) -> RateLimiter<u32> {
    RateLimiter::new(limit).max_keys(max_keys)
}

#[test]
fn the_table_never_exceeds_its_maximum() {
    for limit in both() {
        let mut limiter = limiter(limit, 100);
        for key in 0..10_000 {
            let _ = limiter.check(&key, SECOND);
            assert!(limiter.len() <= 100);
        }
        let mut smaller = limiter.max_keys(10);
        assert_eq!(smaller.len(), 10);
        let _ = smaller.check(&20_000, SECOND);
        assert!(smaller.len() <= 10);
    }
}

#[test]
fn refused_requests_add_no_key() {
    let mut limiter = limiter(Limit::fixed_window(0, MINUTE), 100);
    for key in 0..1_000 {
        let _ = limiter.check(&key, SECOND);
    }
    assert!(limiter.is_empty());
}

#[test]
fn expired_keys_are_removed_as_new_keys_are_added() {
    for limit in both() {
        let mut limiter = limiter(limit, 1_000_000);
        for key in 0..1_000 {
            let _ = limiter.check(&key, SECOND);
        }
        for key in 1_000..2_000 {
            let _ = limiter.check(&key, 2 * MINUTE);
        }
        assert_eq!(limiter.len(), 1_000, "{limit:?}");
    }
}

#[test]
fn a_refused_key_cannot_reset_its_limit_with_other_keys() {
    for limit in both() {
        let mut limiter = limiter(limit, 100);
        let mut now = SECOND;
        let mut allowed = 0;
        for round in 0..5_000_u32 {
            now += Duration::from_millis(1);
            allowed += u32::from(limiter.check(&0, now).allowed);
            for other in 1..20 {
                let _ = limiter.check(&(round * 20 + other), now);
            }
        }
        // A bucket gains no token in 5 s.
        assert!(allowed <= 10, "{limit:?} allowed {allowed}");
    }
}

#[test]
fn rotating_many_keys_gains_nothing() {
    for limit in both() {
        let mut limiter = limiter(limit, 100);
        let mut allowed = vec![0; 1_000];
        for _ in 0..100 {
            for key in 0..1_000_u32 {
                allowed[key as usize] += u32::from(limiter.check(&key, SECOND).allowed);
            }
        }
        let most = allowed.iter().max().unwrap();
        assert!(*most <= 10, "{limit:?} allowed {most}");
        // The total is not much more than the limits of the keys that fit into the table.
        let sum: u32 = allowed.iter().sum();
        assert!(sum <= 2 * 100 * 10, "{limit:?} allowed {sum} in total");
    }
}

#[test]
fn keys_at_their_limit_do_not_block_other_keys() {
    for limit in both() {
        let mut limiter = limiter(limit, 1_000);
        for key in 0..250 {
            while limiter.check(&key, SECOND).allowed {}
        }
        // These use a quarter of the capacity of the table.
        for key in 1_000..3_500 {
            assert!(limiter.check(&key, SECOND).allowed, "{limit:?}, key {key}");
        }
    }
}

#[test]
fn after_a_flood_unknown_keys_are_allowed_again() {
    for limit in both() {
        let mut limiter = limiter(limit, 100);
        for key in 0..100_000 {
            let _ = limiter.check(&key, SECOND);
        }
        assert!(!limiter.check(&200_000, SECOND).allowed, "{limit:?}");
        let later = SECOND + MINUTE;
        assert_eq!(limiter.check(&200_000, later).remaining, 9, "{limit:?}");
    }
}
