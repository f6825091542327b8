//! The algorithms: how many requests are let through in which time.

use std::time::Duration;

use crate::decision::{Decision, quoted, seconds};

/// How many requests of one key are let through in which time.
///
/// Two algorithms: a [fixed window](Limit::fixed_window), and a [token bucket](Limit::token_bucket), which has no moment at which
/// twice as many requests get through.
///
/// # Limits
/// Times are counted in nanoseconds, up to 584 years. A window has at least 1 ms; shorter ones count as 1 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    algorithm: Algorithm,
    /// What is let through at once: the most in a window, or the size of the bucket.
    max: u32,
    /// The length of the window, or the time that fills the bucket.
    span: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    FixedWindow,
    /// A token every so many nanoseconds.
    TokenBucket {
        interval: u64,
    },
}

/// What is known of a key. Over at `until`: from then on it is as if the key had never been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The end of the window; of a bucket, when it is full (the "theoretical arrival time" of GCRA).
    until: u64,
    /// The requests let through in the window; of a bucket, always 0.
    used: u32,
}

impl Limit {
    /// At most `max` requests in a window, which begins with the first request of a key; the first request after its end begins
    /// the next one. With 0, none is let through.
    ///
    /// Requests at the end of a window and at the beginning of the next can come together, so twice `max` in a short time:
    /// [`token_bucket`](Limit::token_bucket) does not have that.
    pub fn fixed_window(max: u32, window: Duration) -> Limit {
        Limit {
            algorithm: Algorithm::FixedWindow,
            max,
            span: window_nanos(window),
        }
    }

    /// A bucket of `max` tokens that a `window` fills evenly, and of which each request takes one. With 0, none is let through.
    ///
    /// The algorithm is GCRA, the generic cell rate algorithm: it needs one number for each key. In any time of length *t* at
    /// most `max` + *t* · `max` / `window` requests are let through.
    pub fn token_bucket(max: u32, window: Duration) -> Limit {
        let window = window_nanos(window);
        // Rounded up: rather a nanosecond more than a request too many.
        let interval = window.div_ceil(u64::from(max.max(1)));
        Limit {
            algorithm: Algorithm::TokenBucket { interval },
            max,
            span: window,
        }
        .burst(max)
    }

    /// Sets the size of a token bucket: how many requests may come at once. It fills at the same rate as before. A fixed window
    /// has no such size, and stays as it is. Default: the `max` of [`token_bucket`](Limit::token_bucket).
    ///
    /// # Examples
    /// 100 in a minute, but at most 10 at once:
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

    /// The value of the field `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10, under this name:
    /// `"default";q=100;w=60`, 100 requests in 60 s.
    ///
    /// The name is sent as a string of RFC 9651; what such a string cannot have, all but visible ASCII and spaces, becomes `?`.
    pub fn policy_value(&self, name: &str) -> String {
        let name = quoted(name);
        let window = match self.algorithm {
            Algorithm::FixedWindow => self.span,
            // Without what rounding has added to the interval.
            Algorithm::TokenBucket { .. } => self.span.saturating_sub(self.max.into()),
        };
        let window = seconds(Duration::from_nanos(window)).max(1);
        format!("{name};q={};w={window}", self.max)
    }

    /// Lets a request through that costs so much, or does not; then the state stays as it is.
    pub(crate) fn take(&self, state: &mut State, cost: u32, now: u64) -> Decision {
        let taken = match self.algorithm {
            _ if cost > self.max => Err(None),
            Algorithm::FixedWindow => self.take_from_window(*state, cost, now),
            Algorithm::TokenBucket { interval } => {
                self.take_from_bucket(*state, interval, cost, now)
            }
        };
        // A question does not begin a window.
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

    /// Takes back a request that was let through and costs so much.
    pub(crate) fn give_back(&self, state: &mut State, cost: u32, now: u64) {
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
    /// The time until the request would be let through, or `None` when it never will be.
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

    /// As [`take_from_window`](Limit::take_from_window).
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
    /// Whether it says nothing any more.
    pub(crate) fn is_over(self, now: u64) -> bool {
        self.until <= now
    }

    /// How much would be forgotten with it, to compare with others.
    pub(crate) fn weight(self, now: u64) -> (u32, u64) {
        if self.is_over(now) {
            (0, 0)
        } else {
            (self.used, self.until)
        }
    }

    /// What allows no more than either of the two.
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

/// The nanoseconds of a time, up to 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn window_nanos(window: Duration) -> u64 {
    nanos(window.max(Duration::from_millis(1)))
}
