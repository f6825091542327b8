//! The settings of an event source.

use std::time::Duration;

use uptick_event_loop::{Backoff, jitter};

use super::parser::EventLimits;

/// Minimum delay before a request, to prevent a busy loop: 10 ms.
const MIN_DELAY: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
pub(super) struct EventSourceSettings {
    pub(super) retry_delay: Duration,
    pub(super) max_delay: Duration,
    pub(super) max_server_delay: Duration,
    pub(super) max_retries: Option<u32>,
    pub(super) retries_server_errors: bool,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) last_event_id: String,
    pub(super) limits: EventLimits,
}

impl Default for EventSourceSettings {
    fn default() -> Self {
        EventSourceSettings {
            retry_delay: Duration::from_secs(3),
            max_delay: Duration::from_secs(30),
            max_server_delay: Duration::from_secs(3600),
            max_retries: None,
            retries_server_errors: false,
            idle_timeout: None,
            last_event_id: String::new(),
            limits: EventLimits::new(),
        }
    }
}

impl EventSourceSettings {
    /// Returns the delay before the next request. `failed` is the number of consecutive requests without an event, `retry` the reconnection
    /// time that the server has sent in a stream, and `retry_after` the one of the last response.
    pub(super) fn delay(
        &self,
        failed: u32,
        retry: Option<Duration>,
        retry_after: Option<Duration>,
    ) -> Duration {
        let first = match retry {
            Some(retry) => retry.min(self.max_server_delay),
            None => self.retry_delay,
        };
        let delay = Backoff::new(first, self.max_delay.max(first))
            .with_min(MIN_DELAY)
            .with_jitter(0, 20)
            .delay(failed);
        let requested = retry_after.map(|wait| wait.min(self.max_server_delay));
        let requested = requested.map(|wait| jitter(wait..=wait.saturating_add(wait / 5)));
        requested.map_or(delay, |requested| requested.max(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_that_of_the_server_and_grows_with_failures() {
        let second = Duration::from_secs(1);
        let settings = EventSourceSettings::default();
        for (failed, retry, retry_after, expected) in [
            (0, None, None, 3),
            (1, None, None, 3),
            (3, None, None, 12),
            (90, None, None, 30),
            (1, Some(1), None, 1),
            (3, Some(1), None, 4),
            (2, Some(60), None, 60),
            (1, Some(1_000_000), None, 3600),
            (1, None, Some(10), 10),
            (1, Some(20), Some(10), 20),
            (1, None, Some(1_000_000), 3600),
        ] {
            let seconds = |time: Option<u32>| time.map(|time| second * time);
            let delay = settings.delay(failed, seconds(retry), seconds(retry_after));
            let expected = second * expected;
            let range = expected..=expected * 6 / 5;
            assert!(range.contains(&delay), "{delay:?} is not in {range:?}");
        }
        assert!(settings.delay(1, Some(Duration::ZERO), None) >= MIN_DELAY);
    }
}
