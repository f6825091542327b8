//! Timeouts. A connection has one deadline in the loop's wheel. Activity does not move it: when it expires early, it is armed again for
//! the remaining time.

use std::time::Duration;

use uptick_event_loop::driver::Timestamp;

use super::flags::ConnectionFlags;
use super::state::{ConnectionState, HttpConnection};
use crate::exchange::{BodyProgress, Consumer};

/// The event that a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitReason {
    /// The first byte of a new connection.
    FirstByte,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// More of the body, at the minimum rate.
    Body,
    /// The handler's response.
    Response,
}

impl HttpConnection {
    /// Returns the current wait and its time limit, counted from [`ConnectionState::since`].
    #[inline(always)]
    pub(super) fn current_wait(&self, state: &ConnectionState) -> Option<(WaitReason, Duration)> {
        let flags = state.flags;
        let site = self.service.borrow_site();
        let timeouts = &site.settings.timeouts;
        let (waiting, limit) = if flags.contains(ConnectionFlags::CLOSING) {
            return None;
        } else if let Some(exchange) = &state.exchange {
            let body_is_due = exchange.consumer.get() != Consumer::None || exchange.is_done();
            if body_is_due && exchange.body.get() == BodyProgress::Receiving {
                (WaitReason::Body, timeouts.body)
            } else if !exchange.is_started() {
                (WaitReason::Response, timeouts.response)
            } else {
                // The write timeout limits a client that reads the response too slowly.
                return None;
            }
        } else if flags.contains(ConnectionFlags::FRESH | ConnectionFlags::DRAINING) {
            let shutdown = self.service.draining();
            let restarts = shutdown.and_then(|options| options.first_byte_timeout());
            (WaitReason::FirstByte, restarts.unwrap_or(timeouts.draining))
        } else if flags.contains(ConnectionFlags::FRESH) {
            (WaitReason::FirstByte, timeouts.first_byte)
        } else if flags.contains(ConnectionFlags::IN_HEAD) {
            (WaitReason::Head, timeouts.head)
        } else {
            (WaitReason::Idle, timeouts.idle)
        };
        (limit != Duration::MAX).then_some((waiting, limit))
    }

    /// Arms the deadline, unless an earlier one is armed.
    #[inline(always)]
    pub(super) fn arm(&self, state: &mut ConnectionState) {
        let limit = self
            .current_wait(state)
            .map(|(_, limit)| state.since.after(limit));
        let due = match (limit, self.probe_due(state)) {
            (Some(limit), Some(probe)) => limit.earlier(probe),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return,
        };
        state.deadline.arm(|| self.token(), due);
    }

    /// Returns `true` if the minimum amount of the body was received in the last window, and starts the next window.
    pub(super) fn body_rate_reached(&self, state: &mut ConnectionState, window: Duration) -> bool {
        let Some(exchange) = &state.exchange else {
            return false;
        };
        if exchange.is_done() {
            // The rest of the body is discarded, and the time limit for that has expired.
            return false;
        }
        let program_delayed =
            exchange.program_delayed.take() || state.flags.contains(ConnectionFlags::PAUSED);
        let least =
            u64::from(self.service.site().settings.timeouts.body_rate) * window.as_secs().max(1);
        let enough = program_delayed || u64::from(state.counted) >= least;
        state.since = Timestamp::now();
        state.counted = 0;
        enough
    }
}
