//! Pausing and resuming, by the program and by the rate of the peer.

use std::time::Duration;

use uptick_event_loop::driver::{self, Timestamp};
use uptick_event_loop::{Readiness, add_timer};

use super::handle::WebSocket;
use super::state::{Flags, Reading, WebSocketSession, session};

impl WebSocketSession {
    pub(super) fn pause(&self) {
        // The answer to a close has to be read.
        if self.is_open() {
            self.insert(Flags::PAUSED);
            self.channel.pause();
        }
    }

    pub(super) fn resume(&self) {
        self.end_pause(Flags::PAUSED);
    }

    /// Reads on, whatever the reason of a pause, for the answer to a close.
    pub(super) fn resume_for_close(&self) {
        self.end_pause(Flags::STOPPED);
    }

    /// Pauses reading if the peer has used up its rate, until it may send again.
    pub(super) fn throttle(&self, now: Duration) {
        let rates = &self.route.options.rates;
        let wait = self.with_rare(|rare| {
            let exhausted = rare.rate.exhausted(rates, now).is_some();
            exhausted.then(|| rare.rate.wait(rates, now))
        });
        let Some(wait) = wait.filter(|_| !self.has(Flags::THROTTLED)) else {
            return;
        };
        self.insert(Flags::THROTTLED);
        self.channel.pause();
        let ws = WebSocket::of(self.channel);
        let timer = add_timer(wait, move || {
            if let Some(session) = session(ws) {
                session.end_pause(Flags::THROTTLED);
            }
        });
        self.with_rare(|rare| rare.rate.timer = Some(timer));
    }

    /// Ends a pause for these reasons, and reads on unless there is another.
    fn end_pause(&self, reasons: Flags) {
        if !self.has(reasons) {
            return;
        }
        self.remove(reasons);
        if self.has(Flags::STOPPED) {
            return;
        }
        self.seen.set(Timestamp::now());
        // What waits here comes before what is still to be read, which may be the end. Inside of a listener, it goes on after that.
        if self.reading.replace(Reading::Delivering) != Reading::Delivering
            && let Some(token) = self.token()
        {
            driver::ready_later(token, Readiness::empty());
        }
        self.channel.resume();
    }
}
