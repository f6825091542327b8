//! The options of a shutdown.

use std::time::Duration;

use http::header::RETRY_AFTER;
use uptick_event_loop::jitter;

use crate::{HeaderValue, HttpError, StatusCode};

/// Time reserved for close handshakes before the deadline, unless a quarter of the deadline is shorter.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// The time for the first byte of a connection in a restart. Clients expect no failed requests then, not even distant ones.
const LONGEST_FIRST_BYTE: Duration = Duration::from_secs(2);

/// The options of [`HttpServer::shutdown_with`](crate::HttpServer::shutdown_with), and the payload of the event `shutdown`.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::ShutdownOptions;
///
/// let options = ShutdownOptions::new().window(Duration::from_secs(3)).restarting(true);
/// assert_eq!(options.deadline, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownOptions {
    /// Time after which the remaining connections are closed.
    pub deadline: Duration,
    /// Time over which WebSockets and event streams are ended.
    pub window: Duration,
    /// `true` if another server replaces this one at the same address.
    pub restarting: bool,
    /// Time before the shutdown in which the server keeps serving while its health checks report the shutdown.
    pub notice: Duration,
}

impl Default for ShutdownOptions {
    fn default() -> Self {
        ShutdownOptions {
            deadline: Duration::from_secs(10),
            window: Duration::ZERO,
            restarting: false,
            notice: Duration::ZERO,
        }
    }
}

/// Converts a deadline, with the other options at their defaults.
impl From<Duration> for ShutdownOptions {
    fn from(deadline: Duration) -> Self {
        ShutdownOptions::new().deadline(deadline)
    }
}

impl ShutdownOptions {
    /// Creates options with the default values.
    pub fn new() -> Self {
        ShutdownOptions::default()
    }

    /// Sets the time after which the remaining connections are closed, counted from the call of the shutdown. Default: 10 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the time over which WebSockets and event streams are ended, each at a random moment, so that their clients do not all
    /// reconnect at once; see [`closing_window`](ShutdownOptions::closing_window). Default: zero, all of them end at once.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets whether another server replaces this one at the same address. In that case WebSockets are closed with 1012 (service restart)
    /// instead of 1001, and each event stream gets a `retry` field with a random time of 1 s to 5 s before it ends, after which its
    /// client reconnects. Default: false.
    #[must_use]
    pub fn restarting(mut self, restarting: bool) -> Self {
        self.restarting = restarting;
        self
    }

    /// Sets how long the server keeps serving while [`HttpServer::health`](crate::HttpServer::health) and
    /// [`HttpServer::ready`](crate::HttpServer::ready) already respond with 503, so that load balancers send no new clients when the
    /// server stops listening. The deadline and the window count from the end of this time. Another call of the shutdown ends it.
    /// Default: zero.
    #[must_use]
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = notice;
        self
    }

    /// Returns the part of the window that is used. It ends 1 s before the deadline, or a quarter of the deadline if that is shorter, so
    /// that the last close handshakes can complete.
    pub fn closing_window(&self) -> Duration {
        let reserve = HANDSHAKE.min(self.deadline / 4);
        self.window.min(self.deadline.saturating_sub(reserve))
    }

    /// Returns the time limit for the first byte of new connections, if it is longer than in a shutdown without a replacement.
    pub(crate) fn first_byte_timeout(&self) -> Option<Duration> {
        let limit = LONGEST_FIRST_BYTE.min(self.deadline / 4);
        self.restarting.then_some(limit)
    }

    /// Returns the response to a request that would start a long exchange during the shutdown, such as an upgrade: 503, with a random
    /// `Retry-After` within the window, at least 1 s.
    pub fn refusal(&self) -> HttpError {
        let second = Duration::from_secs(1);
        let wait = jitter(second..=self.closing_window().max(second));
        HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE)
            .with_header(RETRY_AFTER, HeaderValue::from(wait.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_window_leaves_time_for_close_handshakes_before_the_deadline() {
        let options = ShutdownOptions::new().window(3 * SECOND);
        assert_eq!(options.closing_window(), 3 * SECOND);
        assert_eq!(options.window(60 * SECOND).closing_window(), 9 * SECOND);
        let short = options.deadline(SECOND).closing_window();
        assert_eq!(short, Duration::from_millis(750));
        let none = options.deadline(Duration::ZERO).closing_window();
        assert_eq!(none, Duration::ZERO);
    }

    #[test]
    fn a_refusal_has_a_retry_after_within_the_window() {
        let seconds = |window: Duration| {
            let refusal = ShutdownOptions::new().window(window).refusal();
            let response = crate::Response::from(refusal);
            assert_eq!(response.status(), 503);
            let after = response.get("retry-after").map(str::parse::<u64>);
            after.unwrap().unwrap()
        };
        for _ in 0..100 {
            assert_eq!(seconds(Duration::ZERO), 1);
            assert!((1..=5).contains(&seconds(5 * SECOND)));
        }
    }
}
