//! Properties that hold for any requests at any times.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use uptick_rate_limit::{Limit, RateLimiter};

/// A request: its key, its cost, and the nanoseconds since the previous request, negative for a clock that goes backwards.
type Request = (u8, u32, i64);

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let step = prop_oneof![
        8 => 0..2_000_000_000_i64,
        4 => Just(0_i64),
        1 => -3_000_000_000..0_i64,
        1 => 0..1_000_000_000_000_000_i64,
    ];
    vec(
        (
            0..12_u8,
            prop_oneof![8 => Just(1_u32), 1 => 0..20_u32],
            step,
        ),
        1..300,
    )
}

/// Returns the allowed requests: key, time, cost.
fn run(limiter: &mut RateLimiter<u8>, requests: &[Request]) -> Vec<(u8, u64, u32)> {
    let mut clock = 5_000_000_000_u64;
    // The limiter ignores a clock that goes backwards.
    let mut latest = 0;
    let mut passed = Vec::new();
    for (key, cost, step) in requests {
        clock = clock.saturating_add_signed(*step);
        latest = clock.max(latest);
        let decision = limiter.check_cost(key, *cost, Duration::from_nanos(clock));
        assert!(decision.remaining <= decision.limit);
        let wait = decision.retry_after;
        assert_eq!(decision.allowed, wait == Some(Duration::ZERO));
        assert_eq!(wait.is_none(), *cost > decision.limit);
        if decision.allowed {
            passed.push((*key, latest, *cost));
        }
    }
    passed
}

/// Returns the times and costs of the allowed requests of each key.
fn by_key(passed: &[(u8, u64, u32)]) -> HashMap<u8, Vec<(u64, u64)>> {
    let mut keys: HashMap<u8, Vec<_>> = HashMap::new();
    for (key, time, cost) in passed {
        keys.entry(*key)
            .or_default()
            .push((*time, u64::from(*cost)));
    }
    keys
}

proptest! {
    #[test]
    fn a_bucket_never_exceeds_its_size_and_rate_in_any_period(
        requests in requests(),
        max in 1..15_u32,
        window in 1_000_000..20_000_000_000_u64,
        max_keys in 1..16_usize,
    ) {
        let limit = Limit::token_bucket(max, Duration::from_nanos(window));
        let mut limiter = RateLimiter::new(limit).max_keys(max_keys);
        let passed = run(&mut limiter, &requests);
        for times in by_key(&passed).values() {
            for (from, (start, _)) in times.iter().enumerate() {
                let mut sum = 0;
                for (end, cost) in &times[from..] {
                    sum += cost;
                    let gained = u128::from(end - start) * u128::from(max) / u128::from(window);
                    prop_assert!(u128::from(sum) <= u128::from(max) + gained);
                }
            }
        }
    }

    #[test]
    fn a_fixed_window_never_exceeds_its_maximum(
        requests in requests(),
        max in 1..15_u32,
        window in 1_000_000..20_000_000_000_u64,
        max_keys in 1..16_usize,
    ) {
        let limit = Limit::fixed_window(max, Duration::from_nanos(window));
        let mut limiter = RateLimiter::new(limit).max_keys(max_keys);
        let passed = run(&mut limiter, &requests);
        for times in by_key(&passed).values() {
            // A period as long as a window overlaps at most two windows.
            for (from, (start, _)) in times.iter().enumerate() {
                let within = times[from..].iter().take_while(|(time, _)| time - start < window);
                let sum: u64 = within.map(|(_, cost)| cost).sum();
                prop_assert!(sum <= 2 * u64::from(max));
            }
        }
    }

    #[test]
    fn with_room_for_all_keys_a_fixed_window_matches_a_simple_counter(
        requests in requests(),
        max in 1..15_u32,
        window in 1_000_000..20_000_000_000_u64,
    ) {
        let limit = Limit::fixed_window(max, Duration::from_nanos(window));
        let passed = run(&mut RateLimiter::new(limit), &requests);
        let mut expected = Vec::new();
        let mut windows: HashMap<u8, (u64, u32)> = HashMap::new();
        let (mut clock, mut latest) = (5_000_000_000_u64, 0);
        for (key, cost, step) in requests {
            clock = clock.saturating_add_signed(step);
            latest = clock.max(latest);
            let (start, used) = windows.get(&key).copied().unwrap_or((0, 0));
            let (start, used) = match latest - start < window && used > 0 {
                true => (start, used),
                false => (latest, 0),
            };
            if used + cost <= max {
                expected.push((key, latest, cost));
                windows.insert(key, (start, used + cost));
            }
        }
        prop_assert_eq!(passed, expected);
    }
}
