//! How much a client may send, over all of its connections.

use std::time::Duration;

use uptick::rate_limit::{Client, Limit, RateLimiter};

use super::words::Refusal;

/// Events of all kinds: a page that is used by hand stays far below.
const EVENTS: (u32, Duration) = (300, Duration::from_secs(10));
/// The events that others see: messages, and people who come and go.
const WORDS: (u32, Duration) = (30, Duration::from_secs(15));

#[derive(Debug)]
pub(crate) struct Limits {
    events: RateLimiter<Client>,
    words: RateLimiter<Client>,
}

impl Limits {
    pub(crate) fn new() -> Limits {
        Limits {
            events: RateLimiter::new(Limit::token_bucket(EVENTS.0, EVENTS.1)),
            words: RateLimiter::new(Limit::token_bucket(WORDS.0, WORDS.1)),
        }
    }

    /// Counts an event; returns `false` if the client has sent too many.
    pub(crate) fn count_event(&mut self, client: Client, now: Duration) -> bool {
        self.events.check(&client, now).allowed
    }

    /// Counts a message or a change of rooms.
    pub(crate) fn count_words(&mut self, client: Client, now: Duration) -> Result<(), Refusal> {
        let decision = self.words.check(&client, now);
        if decision.allowed {
            return Ok(());
        }
        let seconds = decision.retry_after_seconds().unwrap_or(0);
        let text = format!("This is too fast: wait {seconds} s.");
        Err(Refusal::new("slow", text))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(last: u8) -> Client {
        Client::from(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_client_that_says_too_much_has_to_wait_and_others_do_not() {
        let mut limits = Limits::new();
        for _ in 0..WORDS.0 {
            assert_eq!(limits.count_words(client(1), Duration::ZERO), Ok(()));
        }
        let refusal = limits.count_words(client(1), Duration::ZERO);
        assert_eq!(refusal.unwrap_err().text, "This is too fast: wait 1 s.");
        assert_eq!(limits.count_words(client(2), Duration::ZERO), Ok(()));
        assert_eq!(
            limits.count_words(client(1), Duration::from_secs(1)),
            Ok(())
        );
    }

    #[test]
    fn a_client_that_sends_without_end_is_noticed() {
        let mut limits = Limits::new();
        let counted = (0..2 * EVENTS.0).filter(|_| limits.count_event(client(1), Duration::ZERO));
        assert_eq!(counted.count(), EVENTS.0 as usize);
        assert!(limits.count_event(client(2), Duration::ZERO));
    }
}
