//! The heartbeat: the server pings, the client responds in time.

use std::time::{Duration, Instant};

use super::SessionOptions;

/// The lateness of a ping up to which the time for the response counts from when the ping was due: timers of the system are that late.
const LATENESS: Duration = Duration::from_millis(5);

/// The state of the heartbeat.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// The time of the next ping.
    ping_at: Instant,
    /// The time until which the client has to respond, while it is waited for.
    pong_by: Option<Instant>,
    /// Whether a packet that is no pong has extended that time.
    extended: bool,
}

impl Heartbeat {
    /// Begins: the first ping follows after one interval.
    pub(super) fn new(now: Instant, options: &SessionOptions) -> Heartbeat {
        Heartbeat {
            ping_at: now + options.ping_interval,
            pong_by: None,
            extended: false,
        }
    }

    /// Returns the time at which something is due.
    pub(super) fn deadline(&self) -> Instant {
        self.pong_by.unwrap_or(self.ping_at)
    }

    pub(super) fn pong_by(&self) -> Option<Instant> {
        self.pong_by
    }

    /// A ping is sent.
    pub(super) fn ping(&mut self, now: Instant, options: &SessionOptions) {
        let late = now.saturating_duration_since(self.ping_at);
        let sent = if late <= LATENESS { self.ping_at } else { now };
        self.pong_by = Some(sent + options.ping_timeout);
        self.extended = false;
    }

    /// A packet was received.
    pub(super) fn received(&mut self, is_pong: bool, now: Instant, options: &SessionOptions) {
        if is_pong {
            self.pong_by = None;
            self.ping_at = now + options.ping_interval;
        } else if self.pong_by.is_some() && !self.extended {
            self.pong_by = Some(now + options.ping_timeout);
            self.extended = true;
        }
    }
}
