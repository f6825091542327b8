//! The decision on a request.

use std::time::Duration;

/// The decision on a request, with the remaining limit of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the caller must refuse the request if `allowed` is false"]
#[non_exhaustive]
pub struct Decision {
    /// `true` if the request is within the limit.
    pub allowed: bool,
    /// The number of requests that are allowed at once after a period without requests.
    pub limit: u32,
    /// The number of further requests that are allowed now.
    pub remaining: u32,
    /// The time until the whole [`limit`](Decision::limit) is available again if no further request is made.
    pub reset_after: Duration,
    /// The time until the same request would be allowed; zero if it was allowed. `None` if it is never allowed, because it
    /// costs more than the limit.
    ///
    /// Other requests of the same client in the meantime extend it.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// Returns [`retry_after`](Decision::retry_after) for the header `Retry-After` (RFC 9110, section 10.2.3): whole seconds,
    /// rounded up; 0 if the request was allowed. `None` if it is never allowed: then omit the header.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(seconds)
    }

    /// Returns the value of the header `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) for the policy with this name:
    /// `"default";r=99;t=60`.
    ///
    /// The name is sent as a string (RFC 9651). Characters other than visible ASCII and spaces are replaced with `?`.
    pub fn field_value(&self, policy: &str) -> String {
        let name = quoted(policy);
        let reset = seconds(self.reset_after);
        format!("{name};r={};t={reset}", self.remaining)
    }
}

/// Returns the time in whole seconds, rounded up, so that a client that waits for it has waited long enough.
pub(crate) fn seconds(time: Duration) -> u64 {
    let partial = time.subsec_nanos() > 0;
    time.as_secs().saturating_add(partial.into())
}

/// Returns a quoted string for structured fields (RFC 9651) and parameters (RFC 9110, section 5.6.4). Unsupported characters are replaced with `?`.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            ' '..='~' => quoted.push(char),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_nanos(1)), 1);
        assert_eq!(seconds(Duration::from_secs(60)), 60);
        assert_eq!(seconds(Duration::from_millis(60_001)), 61);
        assert_eq!(seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn the_header_value_contains_the_policy_name() {
        let decision = Decision {
            allowed: true,
            limit: 100,
            remaining: 99,
            reset_after: Duration::from_millis(59_900),
            retry_after: Some(Duration::ZERO),
        };
        assert_eq!(decision.field_value("default"), r#""default";r=99;t=60"#);
        assert_eq!(decision.retry_after_seconds(), Some(0));
    }

    #[test]
    fn a_policy_name_is_escaped() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("a\r\nb\u{e9}"), r#""a??b?""#);
    }
}
