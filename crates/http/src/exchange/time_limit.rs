//! The time limit of a single request.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::add_timer;

use super::request::Request;
use super::respond::{TIMED_OUT, respond_and_cancel};
use crate::{HttpError, StatusCode};

impl Request {
    /// Responds with an error, and cancels the task of the handler, if the response has not started after `limit`.
    pub(crate) fn limit_time(&self, limit: Duration, status: StatusCode) {
        if !self.exchange.awaits_response() {
            return;
        }
        let late = self.clone_handle();
        let timer = add_timer(limit, move || {
            if late.exchange.awaits_response() {
                respond_and_cancel(
                    &late.exchange,
                    HttpError::from_status(status).with_source(TIMED_OUT),
                );
            }
        });
        self.on_response_headers(move |_, _| timer.cancel());
        self.once(Request::CLOSE, move |()| timer.cancel());
    }
}
