//! A time limit of one request.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::add_timer;

use super::request::Request;
use super::respond::{LATE, give_up};
use crate::{HttpError, StatusCode};

impl Request {
    /// Responds with an error, and cancels the task of the handler, if the response has not begun after `limit`.
    pub(crate) fn limit_time(&self, limit: Duration, status: StatusCode) {
        if !self.exchange.is_unanswered() {
            return;
        }
        let late = self.again();
        let timer = add_timer(limit, move || {
            if late.exchange.is_unanswered() {
                give_up(
                    &late.exchange,
                    HttpError::from_status(status).with_source(LATE),
                );
            }
        });
        self.on_response_headers(move |_, _| timer.cancel());
        self.once(Request::CLOSE, move |()| timer.cancel());
    }
}
