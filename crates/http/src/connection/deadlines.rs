//! Timeouts. A connection has one deadline in the loop's wheel, and activity does not move it: when it comes, it is armed again for
//! what is left.

use std::time::Duration;

use uptick_event_loop::driver::Timestamp;

use super::flags::Flags;
use super::state::{HttpConnection, State};
use crate::exchange::{BodyProgress, Consumer};

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The first byte of a new connection.
    FirstByte,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// The body, which has come for a window of time.
    Body,
    /// The handler's response.
    Response,
}

impl HttpConnection {
    /// Returns what is waited for, and for how long at most from [`State::since`] on.
    #[inline(always)]
    pub(super) fn waits(&self, state: &State) -> Option<(Waiting, Duration)> {
        let flags = state.flags;
        let site = self.service.borrow_site();
        let timeouts = &site.settings.timeouts;
        let (waiting, limit) = if flags.contains(Flags::CLOSING) {
            return None;
        } else if let Some(exchange) = &state.exchange {
            let body_is_due = exchange.consumer.get() != Consumer::None || exchange.is_done();
            if body_is_due && exchange.body.get() == BodyProgress::Coming {
                (Waiting::Body, timeouts.body)
            } else if !exchange.is_started() {
                (Waiting::Response, timeouts.answer)
            } else {
                // A client that reads the response too slowly has the write timeout.
                return None;
            }
        } else if flags.contains(Flags::FRESH | Flags::DRAINING) {
            let shutdown = self.service.draining();
            let restarts = shutdown.and_then(|options| options.first_byte_timeout());
            (Waiting::FirstByte, restarts.unwrap_or(timeouts.draining))
        } else if flags.contains(Flags::FRESH) {
            (Waiting::FirstByte, timeouts.first_octet)
        } else if flags.contains(Flags::IN_HEAD) {
            (Waiting::Head, timeouts.head)
        } else {
            (Waiting::Idle, timeouts.idle)
        };
        (limit != Duration::MAX).then_some((waiting, limit))
    }

    /// Arms the deadline, unless one comes soon enough.
    #[inline(always)]
    pub(super) fn arm(&self, state: &mut State) {
        let limit = self.waits(state).map(|(_, limit)| state.since.after(limit));
        let due = match (limit, self.probe_due(state)) {
            (Some(limit), Some(probe)) => limit.earlier(probe),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return,
        };
        state.deadline.arm(|| self.token(), due);
    }

    /// Returns whether the client is still reading the last response: a part of it waits in the write queue, or in the kernel because
    /// the client has no room, and the client has acknowledged something since the idle timeout was last over.
    pub(super) fn reads_response(&self, state: &mut State) -> bool {
        if self.conn.is_sending() {
            // The write timeout ends a connection whose client takes nothing.
            return true;
        }
        if self.conn.unsent() == 0 {
            return false;
        }
        // The low half is enough to tell whether it has changed.
        let acknowledged = self.conn.acknowledged() as u32;
        acknowledged != std::mem::replace(&mut state.acknowledged, acknowledged)
    }

    /// Returns whether enough of the body has come in a window of time that is over, and begins the next window.
    pub(super) fn body_goes_on(&self, state: &mut State, window: Duration) -> bool {
        let Some(exchange) = &state.exchange else {
            return false;
        };
        if exchange.is_done() {
            // It is only discarded, and that has had its time.
            return false;
        }
        let held_up = exchange.held_up.take() || state.flags.contains(Flags::PAUSED);
        let least =
            u64::from(self.service.site().settings.timeouts.body_rate) * window.as_secs().max(1);
        let enough = held_up || u64::from(state.counted) >= least;
        state.since = Timestamp::now();
        state.counted = 0;
        enough
    }
}
