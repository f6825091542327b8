//! Decisions for a single key.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use uptick_rate_limit::{Decision, Limit, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn limiter(limit: Limit) -> RateLimiter<u32> {
    RateLimiter::new(limit)
}

/// Returns the number of allowed requests out of `requests` made at the same time.
fn burst(limiter: &mut RateLimiter<u32>, requests: u32, now: Duration) -> u32 {
    let decisions = (0..requests).map(|_| limiter.check(&1, now));
    decisions.map(|decision| u32::from(decision.allowed)).sum()
}

fn fields(decision: Decision) -> (bool, u32, u32, f64, f64) {
    let Decision {
        allowed,
        limit,
        remaining,
        reset_after,
        retry_after,
        ..
    } = decision;
    let (reset, retry) = (
        reset_after.as_secs_f64(),
        retry_after.unwrap().as_secs_f64(),
    );
    (allowed, limit, remaining, reset, retry)
}

#[test]
fn exactly_the_maximum_is_allowed_in_a_window() {
    let mut limiter = limiter(Limit::fixed_window(100, MINUTE));
    assert_eq!(burst(&mut limiter, 101, SECOND), 100);
    assert_eq!(burst(&mut limiter, 10, 60 * SECOND), 0);
    assert_eq!(burst(&mut limiter, 101, 61 * SECOND), 100);
}

#[test]
fn a_window_starts_with_the_first_request_of_its_key() {
    let mut limiter = limiter(Limit::fixed_window(2, MINUTE));
    let at = |seconds| seconds * SECOND;
    assert_eq!(fields(limiter.check(&1, at(50))), (true, 2, 1, 60.0, 0.0));
    assert_eq!(fields(limiter.check(&1, at(70))), (true, 2, 0, 40.0, 0.0));
    assert_eq!(fields(limiter.check(&1, at(80))), (false, 2, 0, 30.0, 30.0));
    assert_eq!(fields(limiter.check(&2, at(80))), (true, 2, 1, 60.0, 0.0));
    assert_eq!(fields(limiter.check(&1, at(110))), (true, 2, 1, 60.0, 0.0));
}

#[test]
fn a_bucket_fills_evenly() {
    let mut limiter = limiter(Limit::token_bucket(10, 10 * SECOND));
    assert_eq!(burst(&mut limiter, 20, MINUTE), 10);
    let refused = limiter.check(&1, MINUTE);
    assert_eq!(fields(refused), (false, 10, 0, 10.0, 1.0));
    assert_eq!(burst(&mut limiter, 20, MINUTE + SECOND), 1);
    assert_eq!(burst(&mut limiter, 20, MINUTE + 4 * SECOND), 3);
    assert_eq!(burst(&mut limiter, 20, 2 * MINUTE), 10);
}

#[test]
fn the_burst_of_a_bucket_is_independent_of_its_rate() {
    let limit = Limit::token_bucket(60, MINUTE).burst(5);
    let mut limiter = limiter(limit);
    assert_eq!(burst(&mut limiter, 20, MINUTE), 5);
    assert_eq!(burst(&mut limiter, 20, MINUTE + SECOND), 1);
    assert_eq!(burst(&mut limiter, 20, 3 * MINUTE), 5);
    let window = Limit::fixed_window(5, MINUTE);
    assert_eq!(window.burst(7), window);
}

#[test]
fn a_client_is_allowed_after_retry_after_and_not_before() {
    for limit in [
        Limit::fixed_window(7, MINUTE),
        Limit::token_bucket(7, MINUTE),
    ] {
        let mut limiter = limiter(limit);
        burst(&mut limiter, 7, SECOND);
        let now = 2 * SECOND;
        let wait = limiter.check(&1, now).retry_after.unwrap();
        assert!(wait > Duration::ZERO);
        let before = now + wait - Duration::from_nanos(1);
        assert!(!limiter.check(&1, before).allowed, "{limit:?}");
        assert!(limiter.check(&1, now + wait).allowed, "{limit:?}");
    }
}

#[test]
fn a_request_may_cost_several_units_or_none() {
    for limit in [
        Limit::fixed_window(10, MINUTE),
        Limit::token_bucket(10, MINUTE),
    ] {
        let mut limiter = limiter(limit);
        assert!(!limiter.check_cost(&1, 11, SECOND).allowed);
        assert!(limiter.check_cost(&1, 0, SECOND).allowed);
        assert!(limiter.is_empty(), "nothing was taken");
        assert_eq!(limiter.check_cost(&1, 7, SECOND).remaining, 3);
        let refused = limiter.check_cost(&1, 4, SECOND);
        assert!(!refused.allowed);
        assert_eq!(refused.remaining, 3);
        assert!(limiter.check_cost(&1, 3, SECOND).allowed);
        assert!(!limiter.check_cost(&1, u32::MAX, SECOND).allowed);
    }
}

#[test]
fn a_request_that_costs_more_than_the_limit_has_no_time_to_retry() {
    for limit in [
        Limit::fixed_window(10, MINUTE),
        Limit::token_bucket(10, MINUTE),
        Limit::token_bucket(20, MINUTE).burst(10),
    ] {
        let mut limiter = limiter(limit);
        for now in [SECOND, MINUTE] {
            let refused = limiter.check_cost(&1, 11, now);
            assert!(!refused.allowed);
            assert_eq!(refused.retry_after, None, "{limit:?}");
            assert_eq!(refused.retry_after_seconds(), None);
            let _ = limiter.check_cost(&1, 5, now);
        }
        // A request that the full limit allows has a retry time.
        assert!(limiter.check_cost(&1, 10, MINUTE).retry_after > Some(Duration::ZERO));
    }
}

#[test]
fn a_limit_of_zero_allows_no_request() {
    for limit in [
        Limit::fixed_window(0, MINUTE),
        Limit::token_bucket(0, MINUTE),
    ] {
        let mut limiter = limiter(limit);
        let refused = limiter.check(&1, SECOND);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!(refused.retry_after, None);
        assert!(limiter.is_empty());
    }
}

#[test]
fn the_shortest_window_is_a_millisecond() {
    let mut limiter = limiter(Limit::fixed_window(1, Duration::ZERO));
    assert_eq!(burst(&mut limiter, 2, SECOND), 1);
    assert_eq!(burst(&mut limiter, 2, SECOND + Duration::from_millis(1)), 1);
}

#[test]
fn a_clock_that_goes_backwards_counts_as_stopped() {
    for limit in [
        Limit::fixed_window(5, MINUTE),
        Limit::token_bucket(5, MINUTE),
    ] {
        let mut limiter = limiter(limit);
        assert_eq!(burst(&mut limiter, 9, 2 * MINUTE), 5);
        let back = limiter.check(&1, SECOND);
        assert!(!back.allowed);
        assert!(back.retry_after.unwrap() <= MINUTE, "{back:?}");
        assert_eq!(limiter.check(&2, Duration::ZERO).remaining, 4);
    }
}

#[test]
fn the_longest_times_do_not_overflow() {
    for limit in [
        Limit::fixed_window(u32::MAX, Duration::MAX),
        Limit::token_bucket(u32::MAX, Duration::MAX),
        Limit::token_bucket(1, Duration::MAX).burst(u32::MAX),
        Limit::token_bucket(u32::MAX, Duration::ZERO),
    ] {
        let mut limiter = limiter(limit);
        assert!(limiter.check(&1, Duration::ZERO).allowed, "{limit:?}");
        assert!(limiter.check(&1, Duration::MAX).allowed, "{limit:?}");
        let _ = limiter.check_cost(&1, u32::MAX, Duration::MAX);
        let _ = limit.policy_value("p");
    }
}

#[test]
fn a_forgotten_key_starts_with_its_whole_limit() {
    let mut limiter = limiter(Limit::fixed_window(1, MINUTE));
    assert_eq!(burst(&mut limiter, 2, SECOND), 1);
    assert!(limiter.forget(&1));
    assert!(!limiter.forget(&1));
    assert_eq!(burst(&mut limiter, 2, SECOND), 1);
}

#[test]
fn policy_windows_are_in_seconds_rounded_up() {
    let policy = |limit: Limit| limit.policy_value("p");
    assert_eq!(
        policy(Limit::fixed_window(100, MINUTE)),
        r#""p";q=100;w=60"#
    );
    assert_eq!(policy(Limit::token_bucket(7, MINUTE)), r#""p";q=7;w=60"#);
    let half = Duration::from_millis(1500);
    assert_eq!(policy(Limit::fixed_window(1, half)), r#""p";q=1;w=2"#);
    assert_eq!(policy(Limit::fixed_window(0, half / 3)), r#""p";q=0;w=1"#);
}
