//! Expired timeouts.

use std::rc::Rc;

use uptick_event_loop::driver::Timestamp;

use super::deadlines::WaitReason;
use super::state::{ConnectionState, HttpConnection};
use crate::StatusCode;
use crate::body::BodyError;
use crate::exchange::{Exchange, body_failed, response_timed_out};

/// The action for an expired timeout.
enum TimeoutAction {
    /// Close the connection: no request has started.
    End,
    /// Refuse the request: its head was not received in time.
    Refuse(StatusCode, &'static str),
    /// Fail the body: it was not received in time.
    Body(Rc<Exchange>),
    /// Respond with an error: the handler did not respond in time.
    Response(Rc<Exchange>),
    /// Probe a half-closed client that was sent nothing for a while.
    Probe,
}

impl HttpConnection {
    /// Handles the expiry of the connection's deadline.
    pub(super) fn expired(&self) {
        let over = self.timeout_action(&mut self.state());
        match over {
            Some(TimeoutAction::End) => self.end(),
            Some(TimeoutAction::Refuse(status, reason)) => self.refuse(status, reason),
            Some(TimeoutAction::Body(exchange)) => {
                let started = exchange.is_started();
                body_failed(&exchange, BodyError::TooSlow);
                if started {
                    self.end();
                }
            }
            Some(TimeoutAction::Response(exchange)) => {
                response_timed_out(&exchange);
            }
            Some(TimeoutAction::Probe) => self.probe(),
            None => {}
        }
    }

    fn timeout_action(&self, state: &mut ConnectionState) -> Option<TimeoutAction> {
        state.deadline.expired();
        if self.is_probe_due(state) {
            return Some(TimeoutAction::Probe);
        }
        let waits = self.current_wait(state);
        let over = waits.filter(|(_, limit)| state.since.is_over(*limit));
        let Some((waiting, limit)) = over else {
            self.arm(state);
            return None;
        };
        if waiting == WaitReason::Idle && state.acknowledged.is_reading(self.conn) {
            state.since = Timestamp::now();
            self.arm(state);
            return None;
        }
        match waiting {
            WaitReason::FirstByte | WaitReason::Idle => Some(TimeoutAction::End),
            WaitReason::Head => Some(TimeoutAction::Refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the request was not received in time",
            )),
            WaitReason::Body => {
                if self.body_rate_reached(state, limit) {
                    self.arm(state);
                    return None;
                }
                state.exchange.clone().map(TimeoutAction::Body)
            }
            WaitReason::Response => state.exchange.clone().map(TimeoutAction::Response),
        }
    }
}
