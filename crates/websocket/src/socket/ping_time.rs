//! The time from an automatic ping to its pong.
//!
//! A server's ping carries the time at which it was sent, so that nothing is kept for it. The time is masked with a key of the thread, so that
//! peers do not learn for how long the server has run. A peer can falsify its own time, which is a statistic and nothing else.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use uptick_event_loop::driver;

use super::state::WebSocketSession;

/// The longest time that is counted. A payload that is not that of a ping almost always stands for a longer one.
const LONGEST: Duration = Duration::from_secs(3600);

thread_local! {
    static KEY: u64 = RandomState::new().hash_one(0_u8);
}

impl WebSocketSession {
    /// Sends a ping to a silent peer.
    pub(super) fn ping_automatically(&self) {
        let time = self.route.counts.as_ref().and_then(|_| masked(now()));
        let _ = match time {
            Some(time) => self.ping(&time.to_be_bytes()),
            None => self.ping(b""),
        };
    }

    /// Counts the time of a pong, if it answers an automatic ping.
    pub(super) fn measure_pong(&self, payload: &[u8]) {
        if let Some(counts) = &self.route.counts
            && let Ok(payload) = payload.try_into()
            && let Some(sent) = masked(u64::from_be_bytes(payload))
            && let Some(time) = now().checked_sub(sent).map(Duration::from_nanos)
            && time <= LONGEST
        {
            counts.pong_after(time);
        }
    }
}

/// Returns the time of the call in nanoseconds.
fn now() -> u64 {
    u64::try_from(driver::time_of_call().as_nanos()).unwrap_or(u64::MAX)
}

fn masked(time: u64) -> Option<u64> {
    KEY.try_with(|key| time ^ key).ok()
}
