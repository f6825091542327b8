//! Rate limits of clients, over all of their connections.

use std::time::Duration;

use uptick::rate_limit::{Client, Limit, RateLimiter};

use super::validation::Refusal;

/// The limit of all events. Manual use of the page stays far below it.
const EVENTS: (u32, Duration) = (300, Duration::from_secs(10));
/// The limit of events visible to others: messages, joining and leaving.
const VISIBLE_MESSAGES: (u32, Duration) = (30, Duration::from_secs(15));

#[derive(Debug)]
pub(crate) struct Limits {
    events: RateLimiter<Client>,
    visible: RateLimiter<Client>,
}

impl Limits {
    pub(crate) fn new() -> Limits {
        Limits {
            events: RateLimiter::new(Limit::token_bucket(EVENTS.0, EVENTS.1)),
            visible: RateLimiter::new(Limit::token_bucket(VISIBLE_MESSAGES.0, VISIBLE_MESSAGES.1)),
        }
    }

    /// Counts an event; returns `false` if the client has sent too many.
    pub(crate) fn count_event(&mut self, client: Client, now: Duration) -> bool {
        self.events.check(&client, now).allowed
    }

    /// Counts a message or a change of rooms; returns an error if the client has sent too many.
    pub(crate) fn count_visible(&mut self, client: Client, now: Duration) -> Result<(), Refusal> {
        let decision = self.visible.check(&client, now);
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
    fn a_client_that_sends_too_many_messages_has_to_wait_and_others_do_not() {
        let mut limits = Limits::new();
        for _ in 0..VISIBLE_MESSAGES.0 {
            assert_eq!(limits.count_visible(client(1), Duration::ZERO), Ok(()));
        }
        let refusal = limits.count_visible(client(1), Duration::ZERO);
        assert_eq!(refusal.unwrap_err().text, "This is too fast: wait 1 s.");
        assert_eq!(limits.count_visible(client(2), Duration::ZERO), Ok(()));
        assert_eq!(
            limits.count_visible(client(1), Duration::from_secs(1)),
            Ok(())
        );
    }

    #[test]
    fn a_flooding_client_exceeds_the_limit() {
        let mut limits = Limits::new();
        let counted = (0..2 * EVENTS.0).filter(|_| limits.count_event(client(1), Duration::ZERO));
        assert_eq!(counted.count(), EVENTS.0 as usize);
        assert!(limits.count_event(client(2), Duration::ZERO));
    }
}
