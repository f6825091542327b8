//! What a limiter says to a request.

use std::time::Duration;

/// Whether a request is let through, and what its client may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision lets nothing through and refuses nothing by itself"]
#[non_exhaustive]
pub struct Decision {
    /// Whether the request is within the limit.
    pub allowed: bool,
    /// How many requests are let through when none was made for a while.
    pub limit: u32,
    /// How many more requests would be let through now.
    pub remaining: u32,
    /// The time until all of [`limit`](Decision::limit) would be let through again, if there were no further request.
    pub reset_after: Duration,
    /// The time until the request, if repeated, would be let through; zero when it was. `None` when it never will be, because it
    /// costs more than the limit.
    ///
    /// Other requests of the same client in the meantime make it longer.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// Returns [`retry_after`](Decision::retry_after) for the header `Retry-After` (RFC 9110, section 10.2.3): whole seconds,
    /// rounded up; 0 when the request was let through. `None` when it never will be: then there is no time to send.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(seconds)
    }

    /// The value of the field `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, for the policy of this name:
    /// `"default";r=99;t=60`.
    ///
    /// The name is sent as a string of RFC 9651; what such a string cannot have, all but visible ASCII and spaces, becomes `?`.
    pub fn field_value(&self, policy: &str) -> String {
        let name = quoted(policy);
        let reset = seconds(self.reset_after);
        format!("{name};r={};t={reset}", self.remaining)
    }
}

/// Whole seconds, rounded up: who waits that long has waited long enough.
pub(crate) fn seconds(time: Duration) -> u64 {
    let partial = time.subsec_nanos() > 0;
    time.as_secs().saturating_add(partial.into())
}

/// Returns a quoted string of structured fields (RFC 9651) and of parameters (RFC 9110, section 5.6.4). Characters that it cannot have become `?`.
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
    fn the_field_names_its_policy() {
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
    fn a_name_cannot_break_out_of_its_string() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("a\r\nb\u{e9}"), r#""a??b?""#);
    }
}
