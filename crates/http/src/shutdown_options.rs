//! The options of a shutdown.

use std::time::Duration;

use http::header::RETRY_AFTER;
use uptick_event_loop::jitter;

use crate::{HeaderValue, HttpError, StatusCode};

/// The time that a close handshake gets before the deadline, unless a quarter of the deadline is less.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// The time for the first byte of a connection in a restart: clients expect nothing to fail then, also those that are far away.
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
    /// The time after which the connections that are left are closed.
    pub deadline: Duration,
    /// The time over which WebSockets and event streams are ended.
    pub window: Duration,
    /// Whether the server is being replaced by another one at the same address.
    pub restarting: bool,
    /// The time before all that, in which the server serves as before while its health checks report the shutdown.
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

/// The deadline, and the defaults.
impl From<Duration> for ShutdownOptions {
    fn from(deadline: Duration) -> Self {
        ShutdownOptions::new().deadline(deadline)
    }
}

impl ShutdownOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        ShutdownOptions::default()
    }

    /// Sets the time after which the connections that are left are closed; it counts from the call of the shutdown. Default: 10 s.
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

    /// Sets whether another server takes the place of this one at the same address. Then WebSockets are closed with 1012 (service restart) in
    /// place of 1001, and each event stream gets a `retry` field with a random time of 1 s to 5 s before it ends, after which its client
    /// reconnects. Default: false.
    #[must_use]
    pub fn restarting(mut self, restarting: bool) -> Self {
        self.restarting = restarting;
        self
    }

    /// Sets for how long the server serves as before while [`HttpServer::health`](crate::HttpServer::health) and
    /// [`HttpServer::ready`](crate::HttpServer::ready) answer with 503 already, so that load balancers send no more clients before the
    /// server stops listening. The deadline and the window count from the end of this time. Another call of the shutdown ends it. Default:
    /// zero.
    #[must_use]
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = notice;
        self
    }

    /// Returns the part of the window that is used: it ends 1 s before the deadline, or a quarter of the deadline if that is less, so that the
    /// last close handshakes have time.
    pub fn closing_window(&self) -> Duration {
        let reserve = HANDSHAKE.min(self.deadline / 4);
        self.window.min(self.deadline.saturating_sub(reserve))
    }

    /// Returns how long new connections may take to send their first byte, if that is longer than in a shutdown without a successor.
    pub(crate) fn first_byte_timeout(&self) -> Option<Duration> {
        let limit = LONGEST_FIRST_BYTE.min(self.deadline / 4);
        self.restarting.then_some(limit)
    }

    /// Returns the response to a request that would start something long during the shutdown, such as an upgrade: 503, with a random
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
    fn a_refusal_names_a_time_within_the_window() {
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
