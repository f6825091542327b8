//! Rate limiting algorithms.

use std::time::Duration;

use crate::decision::{Decision, quoted, seconds};

/// The number of requests allowed for each key in a period of time.
///
/// There are two algorithms: a [fixed window](Limit::fixed_window), and a [token bucket](Limit::token_bucket), which never allows
/// twice as many requests around the end of a window.
///
/// # Limits
/// Times are counted in nanoseconds, up to 584 years. The shortest window is 1 ms; shorter windows are extended to 1 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    algorithm: Algorithm,
    /// Maximum number of requests at once: the maximum in a window, or the size of the bucket.
    max: u32,
    /// Length of the window, or the time to fill an empty bucket, in nanoseconds.
    span: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    FixedWindow,
    /// A bucket that gains one token per interval, in nanoseconds.
    TokenBucket {
        interval: u64,
    },
}

/// The usage of a key. It expires at `until`: from then on the key counts as unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The end of the window; for a bucket, the time at which it is full (the "theoretical arrival time" of GCRA).
    until: u64,
    /// The number of requests allowed in the window; always 0 for a bucket.
    used: u32,
}

impl Limit {
    /// Allows at most `max` requests in a window, which starts with the first request of a key; the first request after its end starts
    /// the next window. With 0, all requests are refused.
    ///
    /// Requests at the end of one window and at the start of the next can add up to twice `max` in a short time;
    /// [`token_bucket`](Limit::token_bucket) avoids this.
    pub fn fixed_window(max: u32, window: Duration) -> Limit {
        Limit {
            algorithm: Algorithm::FixedWindow,
            max,
            span: window_nanos(window),
        }
    }

    /// Allows requests from a bucket of `max` tokens, which fills evenly within `window`; each request takes one token. With 0, all requests
    /// are refused.
    ///
    /// The algorithm is GCRA (generic cell rate algorithm), which stores one number for each key. In any period of length *t*, at
    /// most `max` + *t* · `max` / `window` requests are allowed.
    pub fn token_bucket(max: u32, window: Duration) -> Limit {
        let window = window_nanos(window);
        // Rounded up, so that the rate never exceeds the limit.
        let interval = window.div_ceil(u64::from(max.max(1)));
        Limit {
            algorithm: Algorithm::TokenBucket { interval },
            max,
            span: window,
        }
        .burst(max)
    }

    /// Sets the size of a token bucket: the number of requests that may arrive at once. The fill rate stays the same. A fixed window
    /// is not changed. Default: the `max` of [`token_bucket`](Limit::token_bucket).
    ///
    /// # Examples
    /// 100 per minute, but at most 10 at once:
    /// ```
    /// use std::time::Duration;
    /// use uptick_rate_limit::Limit;
    ///
    /// let limit = Limit::token_bucket(100, Duration::from_secs(60)).burst(10);
    /// assert_eq!(limit.policy_value("default"), r#""default";q=10;w=6"#);
    /// ```
    pub fn burst(mut self, burst: u32) -> Limit {
        if let Algorithm::TokenBucket { interval } = self.algorithm {
            self.max = burst;
            self.span = interval.saturating_mul(burst.into());
        }
        self
    }

    /// Returns the value of the header `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) for the policy with this name:
    /// `"default";q=100;w=60` means 100 requests in 60 s.
    ///
    /// The name is sent as a string (RFC 9651). Characters other than visible ASCII and spaces are replaced with `?`.
    pub fn policy_value(&self, name: &str) -> String {
        let name = quoted(name);
        let window = match self.algorithm {
            Algorithm::FixedWindow => self.span,
            // Removes the nanosecond that rounding may have added to each interval.
            Algorithm::TokenBucket { .. } => self.span.saturating_sub(self.max.into()),
        };
        let window = seconds(Duration::from_nanos(window)).max(1);
        format!("{name};q={};w={window}", self.max)
    }

    /// Allows a request with this cost and updates the state, or refuses it and leaves the state unchanged.
    pub(crate) fn take(&self, state: &mut State, cost: u32, now: u64) -> Decision {
        let taken = match self.algorithm {
            _ if cost > self.max => Err(None),
            Algorithm::FixedWindow => self.take_from_window(*state, cost, now),
            Algorithm::TokenBucket { interval } => {
                self.take_from_bucket(*state, interval, cost, now)
            }
        };
        // A query (cost 0) does not start a window.
        if let Ok(taken) = taken
            && cost > 0
        {
            *state = taken;
        }
        let left = state.until.saturating_sub(now);
        let remaining = match self.algorithm {
            _ if state.is_over(now) => self.max,
            Algorithm::FixedWindow => self.max.saturating_sub(state.used),
            Algorithm::TokenBucket { interval } => {
                let tokens = self.span.saturating_sub(left) / interval;
                u32::try_from(tokens).unwrap_or(u32::MAX)
            }
        };
        Decision {
            allowed: taken.is_ok(),
            limit: self.max,
            remaining,
            reset_after: Duration::from_nanos(left),
            retry_after: taken.err().unwrap_or(Some(0)).map(Duration::from_nanos),
        }
    }

    /// Reverts the cost of an allowed request.
    pub(crate) fn revert(&self, state: &mut State, cost: u32, now: u64) {
        match self.algorithm {
            _ if state.is_over(now) => {}
            Algorithm::FixedWindow => state.used = state.used.saturating_sub(cost),
            Algorithm::TokenBucket { interval } => {
                let cost_time = interval.saturating_mul(cost.into());
                state.until = state.until.saturating_sub(cost_time);
            }
        }
    }

    /// Returns the state after the request.
    ///
    /// # Errors
    /// The time until the request would be allowed, or `None` if it is never allowed.
    fn take_from_window(&self, state: State, cost: u32, now: u64) -> Result<State, Option<u64>> {
        let mut state = state;
        if state.is_over(now) {
            state = State {
                until: now.saturating_add(self.span),
                used: 0,
            };
        }
        match state
            .used
            .checked_add(cost)
            .filter(|used| *used <= self.max)
        {
            Some(used) => Ok(State { used, ..state }),
            None => Err(Some(state.until.saturating_sub(now))),
        }
    }

    /// Returns the state after the request; see [`take_from_window`](Limit::take_from_window).
    fn take_from_bucket(
        &self,
        state: State,
        interval: u64,
        cost: u32,
        now: u64,
    ) -> Result<State, Option<u64>> {
        let full = state.until.max(now);
        let cost_time = interval.saturating_mul(cost.into());
        let until = full.saturating_add(cost_time);
        let ahead = until.saturating_sub(now);
        match ahead.checked_sub(self.span) {
            None | Some(0) => Ok(State { until, used: 0 }),
            wait => Err(wait),
        }
    }
}

impl State {
    /// Returns `true` if the state has expired.
    pub(crate) fn is_over(self, now: u64) -> bool {
        self.until <= now
    }

    /// Returns the usage as a sort key: the state with the lowest one is evicted first.
    pub(crate) fn weight(self, now: u64) -> (u32, u64) {
        if self.is_over(now) {
            (0, 0)
        } else {
            (self.used, self.until)
        }
    }

    /// Returns a state that is at least as strict as both.
    pub(crate) fn stricter(self, other: State, now: u64) -> State {
        if self.is_over(now) {
            return other;
        }
        if other.is_over(now) {
            return self;
        }
        State {
            until: self.until.max(other.until),
            used: self.used.max(other.used),
        }
    }
}

/// Returns the time in nanoseconds, up to 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn window_nanos(window: Duration) -> u64 {
    nanos(window.max(Duration::from_millis(1)))
}
