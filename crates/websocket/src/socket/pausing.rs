//! Pausing and resuming.

use uptick_event_loop::Readiness;
use uptick_event_loop::driver::{self, Timestamp};

use super::state::{Flags, Reading, WebSocketSession};

impl WebSocketSession {
    pub(super) fn pause(&self) {
        // The answer to a close has to be read.
        if self.is_open() {
            self.insert(Flags::PAUSED);
            self.channel.pause();
        }
    }

    pub(super) fn resume(&self) {
        if !self.has(Flags::PAUSED) {
            return;
        }
        self.remove(Flags::PAUSED);
        self.seen.set(Timestamp::now());
        // What waits here comes before what is still to be read, which may be the end. Inside of a listener, it goes on after that.
        if self.reading.replace(Reading::Delivering) != Reading::Delivering
            && let Some(token) = self.token()
        {
            driver::ready_later(token, Readiness::NONE);
        }
        self.channel.resume();
    }
}
