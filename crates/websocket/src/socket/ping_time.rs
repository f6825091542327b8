//! Round-trip times of automatic pings.
//!
//! A server's ping contains the time at which it was sent, so no state is stored for it. The time is XORed with a random key of the thread, so that
//! peers cannot learn the uptime of the server. A peer can falsify its own time, which is only used as a statistic.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use uptick_event_loop::driver;

use super::state::WebSocketSession;

/// Maximum time that is counted. The payload of an unrelated pong almost always yields a longer time.
const MAX_PING_TIME: Duration = Duration::from_secs(3600);

thread_local! {
    static KEY: u64 = RandomState::new().hash_one(0_u8);
}

impl WebSocketSession {
    /// Sends a ping to an idle peer.
    pub(super) fn ping_automatically(&self) {
        let time = self.route.counts.as_ref().and_then(|_| masked(now()));
        let _ = match time {
            Some(time) => self.ping(&time.to_be_bytes()),
            None => self.ping(b""),
        };
    }

    /// Records the round-trip time if a pong belongs to an automatic ping.
    pub(super) fn measure_pong(&self, payload: &[u8]) {
        if let Some(counts) = &self.route.counts
            && let Ok(payload) = payload.try_into()
            && let Some(sent) = masked(u64::from_be_bytes(payload))
            && let Some(time) = now().checked_sub(sent).map(Duration::from_nanos)
            && time <= MAX_PING_TIME
        {
            counts.pong_after(time);
        }
    }
}

/// Returns the current time in nanoseconds.
fn now() -> u64 {
    u64::try_from(driver::current_time().as_nanos()).unwrap_or(u64::MAX)
}

fn masked(time: u64) -> Option<u64> {
    KEY.try_with(|key| time ^ key).ok()
}
