//! Pausing and resuming, by the program and by the rate limit.

use std::time::Duration;

use uptick_event_loop::driver::{self, Timestamp};
use uptick_event_loop::{Readiness, add_timer};

use super::handle::WebSocket;
use super::state::{ReadState, SocketFlags, WebSocketSession, session};

impl WebSocketSession {
    pub(super) fn pause(&self) {
        // The peer's close frame has to be read.
        if self.is_open() {
            self.insert(SocketFlags::PAUSED);
            self.channel.pause();
        }
    }

    pub(super) fn resume(&self) {
        self.end_pause(SocketFlags::PAUSED);
    }

    /// Resumes reading regardless of the reason for the pause, to receive the peer's close frame.
    pub(super) fn resume_for_close(&self) {
        self.end_pause(SocketFlags::STOPPED);
    }

    /// Pauses reading until the peer is within its rate limit again, if it has exhausted the limit.
    pub(super) fn throttle(&self, now: Duration) {
        let rates = &self.route.options.rates;
        let wait = self.with_cold(|cold| {
            let exhausted = cold.rate.exhausted(rates, now).is_some();
            exhausted.then(|| cold.rate.wait(rates, now))
        });
        let Some(wait) = wait.filter(|_| !self.has(SocketFlags::THROTTLED)) else {
            return;
        };
        self.insert(SocketFlags::THROTTLED);
        self.channel.pause();
        let ws = WebSocket::of(self.channel);
        let timer = add_timer(wait, move || {
            if let Some(session) = session(ws) {
                session.end_pause(SocketFlags::THROTTLED);
            }
        });
        self.with_cold(|cold| cold.rate.timer = Some(timer));
    }

    /// Removes these reasons for a pause, and resumes reading if there is no other one.
    fn end_pause(&self, reasons: SocketFlags) {
        if !self.has(reasons) {
            return;
        }
        self.remove(reasons);
        if self.has(SocketFlags::STOPPED) {
            return;
        }
        self.last_activity.set(Timestamp::now());
        // Events of the decoder come before unread bytes and the end of stream. Inside a listener, the running delivery loop continues
        // with them.
        if self.reading.replace(ReadState::Delivering) != ReadState::Delivering
            && let Some(token) = self.token()
        {
            driver::ready_later(token, Readiness::empty());
        }
        self.channel.resume();
    }
}
