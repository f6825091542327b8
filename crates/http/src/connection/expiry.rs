//! Expired timeouts.

use std::rc::Rc;

use uptick_event_loop::driver::Timestamp;

use super::deadlines::Waiting;
use super::state::{HttpConnection, State};
use crate::StatusCode;
use crate::body::BodyError;
use crate::exchange::{Exchange, body_failed, overdue};

/// The action for an expired timeout.
enum Over {
    /// Nothing was begun: the connection ends.
    End,
    /// The request does not come.
    Refuse(StatusCode, &'static str),
    /// The body does not come.
    Body(Rc<Exchange>),
    /// The handler does not respond.
    Response(Rc<Exchange>),
    /// The client has ended its side, and was sent nothing for a while.
    Silence,
}

impl HttpConnection {
    /// The connection's deadline has come.
    pub(super) fn expired(&self) {
        let over = self.over(&mut self.state());
        match over {
            Some(Over::End) => self.end(),
            Some(Over::Refuse(status, reason)) => self.refuse(status, reason),
            Some(Over::Body(exchange)) => {
                let started = exchange.is_started();
                body_failed(&exchange, BodyError::TooSlow);
                if started {
                    self.end();
                }
            }
            Some(Over::Response(exchange)) => {
                overdue(&exchange);
            }
            Some(Over::Silence) => self.probe(),
            None => {}
        }
    }

    fn over(&self, state: &mut State) -> Option<Over> {
        state.deadline.expired();
        if self.is_probe_due(state) {
            return Some(Over::Silence);
        }
        let waits = self.waits(state);
        let over = waits.filter(|(_, limit)| state.since.is_over(*limit));
        let Some((waiting, limit)) = over else {
            self.arm(state);
            return None;
        };
        if waiting == Waiting::Idle && self.reads_response(state) {
            state.since = Timestamp::now();
            self.arm(state);
            return None;
        }
        match waiting {
            Waiting::FirstByte | Waiting::Idle => Some(Over::End),
            Waiting::Head => Some(Over::Refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the request took too long to come",
            )),
            Waiting::Body => {
                if self.body_goes_on(state, limit) {
                    self.arm(state);
                    return None;
                }
                state.exchange.clone().map(Over::Body)
            }
            Waiting::Response => state.exchange.clone().map(Over::Response),
        }
    }
}
