//! Rate limits for received messages and bytes.
//!
//! Cost: with a limit, each message reads the loop's clock and needs a few additions; without one, a comparison.

use std::time::Duration;

use uptick_event_loop::{Timer, cancel_timer};

const SECOND: u64 = 1_000_000_000;

/// The action when a peer sends more than [`message_rate`](crate::WebSocketOptions::message_rate) or
/// [`byte_rate`](crate::WebSocketOptions::byte_rate) allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RatePolicy {
    /// The WebSocket is closed with 1008, and the message is dropped.
    #[default]
    Close,
    /// The message is delivered. Then reading is paused until the peer is within its rate again, so that further messages stay in the socket
    /// buffers.
    Pause,
}

/// The rate limits of a route.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// Messages per second; 0 for no limit.
    pub(crate) messages: u32,
    /// Bytes per second; 0 for no limit.
    pub(crate) bytes: u64,
    pub(crate) policy: RatePolicy,
}

impl Rates {
    /// Returns whether there is a limit.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        u64::from(self.messages) | self.bytes != 0
    }

    /// Returns the interval between messages, in nanoseconds.
    fn interval(&self) -> u64 {
        SECOND.checked_div(u64::from(self.messages)).unwrap_or(0)
    }
}

/// The usage of a peer: one bucket for each limit, with a capacity of one second (GCRA). The whole length of a message is charged, so a
/// message longer than the bucket is accepted while the bucket is not empty, and charged against the following seconds.
#[derive(Debug, Default)]
pub(crate) struct RateState {
    /// The time at which the bucket of messages is full again, in nanoseconds of the loop's clock.
    messages: u64,
    /// The time at which the bucket of bytes is full again.
    bytes: u64,
    /// The timer that ends a pause.
    pub(crate) timer: Option<Timer>,
}

impl Drop for RateState {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            cancel_timer(timer);
        }
    }
}

impl RateState {
    /// Returns the close reason if a limit is exhausted.
    pub(crate) fn exhausted(&self, rates: &Rates, now: Duration) -> Option<&'static str> {
        let now = nanos(now);
        if self.messages_free(rates) > now {
            Some("too many messages")
        } else if self.bytes_free() > now {
            Some("too many bytes")
        } else {
            None
        }
    }

    /// Returns the time from which another message is allowed.
    fn messages_free(&self, rates: &Rates) -> u64 {
        self.messages
            .saturating_add(rates.interval())
            .saturating_sub(SECOND)
    }

    /// Returns the time from which the bucket of bytes is not empty.
    fn bytes_free(&self) -> u64 {
        self.bytes.saturating_add(1).saturating_sub(SECOND)
    }

    /// Charges a message of this length.
    pub(crate) fn charge(&mut self, rates: &Rates, bytes: usize, now: Duration) {
        let now = nanos(now);
        if rates.messages != 0 {
            self.messages = self.messages.max(now).saturating_add(rates.interval());
        }
        if rates.bytes != 0 {
            let cost = u128::from(SECOND) * bytes as u128;
            let cost = cost.div_ceil(u128::from(rates.bytes));
            let cost = u64::try_from(cost).unwrap_or(u64::MAX);
            self.bytes = self.bytes.max(now).saturating_add(cost);
        }
    }

    /// Returns the time until another message is allowed.
    pub(crate) fn wait(&self, rates: &Rates, now: Duration) -> Duration {
        let free = self.messages_free(rates).max(self.bytes_free());
        Duration::from_nanos(free).saturating_sub(now)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of messages of a length that are allowed at one moment.
    fn burst(state: &mut RateState, rates: &Rates, bytes: usize, now: Duration) -> usize {
        let mut count = 0;
        while state.exhausted(rates, now).is_none() {
            state.charge(rates, bytes, now);
            count += 1;
        }
        count
    }

    #[test]
    fn a_bucket_has_a_capacity_of_one_second_and_fills_evenly() {
        let rates = Rates {
            messages: 4,
            ..Rates::default()
        };
        let mut state = RateState::default();
        let start = Duration::from_secs(7);
        assert_eq!(burst(&mut state, &rates, 100, start), 4);
        assert!(state.wait(&rates, start) <= Duration::from_millis(251));
        let later = start + state.wait(&rates, start);
        assert_eq!(burst(&mut state, &rates, 100, later), 1);
        assert_eq!(
            burst(&mut state, &rates, 100, start + Duration::from_secs(9)),
            4
        );
    }

    #[test]
    fn a_message_longer_than_the_bucket_is_accepted_and_charged() {
        let rates = Rates {
            bytes: 1000,
            ..Rates::default()
        };
        let mut state = RateState::default();
        let now = Duration::from_secs(1);
        assert_eq!(burst(&mut state, &rates, 5000, now), 1);
        assert_eq!(state.exhausted(&rates, now), Some("too many bytes"));
        let wait = state.wait(&rates, now);
        assert!(wait > Duration::from_secs(4) && wait < Duration::from_millis(4001));
        assert_eq!(
            burst(&mut state, &rates, 0, now + Duration::from_millis(3999)),
            0
        );
        state.charge(&rates, usize::MAX, now);
        assert!(
            state
                .exhausted(&rates, now + Duration::from_secs(1 << 30))
                .is_some()
        );
    }
}
