//! The heartbeat: the server sends pings, and the client must answer in time.

use std::time::{Duration, Instant};

use super::SessionOptions;

/// Maximum delay of a ping for which the timeout still counts from the time when the ping was due. It allows for the accuracy of system timers.
const LATENESS: Duration = Duration::from_millis(5);

/// The state of the heartbeat.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// Time of the next ping.
    ping_at: Instant,
    /// Time by which the client must answer the pending ping, if there is one.
    pong_by: Option<Instant>,
    /// `true` once a packet other than a pong has extended that time.
    extended: bool,
}

impl Heartbeat {
    /// Starts the heartbeat. The first ping is due after one interval.
    pub(super) fn new(now: Instant, options: &SessionOptions) -> Heartbeat {
        Heartbeat {
            ping_at: now + options.ping_interval,
            pong_by: None,
            extended: false,
        }
    }

    /// Returns the time of the next ping, or of the timeout of the pending ping.
    pub(super) fn deadline(&self) -> Instant {
        self.pong_by.unwrap_or(self.ping_at)
    }

    pub(super) fn pong_by(&self) -> Option<Instant> {
        self.pong_by
    }

    /// Records that a ping is sent.
    pub(super) fn ping(&mut self, now: Instant, options: &SessionOptions) {
        let late = now.saturating_duration_since(self.ping_at);
        let sent = if late <= LATENESS { self.ping_at } else { now };
        self.pong_by = Some(sent + options.ping_timeout);
        self.extended = false;
    }

    /// Records that a packet was received.
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
