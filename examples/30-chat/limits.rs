//! Rate limits of clients.

use std::time::Duration;

use uptick::rate_limit::{Client, Limit, RateLimiter};

use super::validation::Refusal;
use super::wire::PageRequest;

/// The limit of all messages. Manual use of the page stays far below it.
const ALL_MESSAGES: (u32, Duration) = (300, Duration::from_secs(10));
/// The limit of messages visible to others: chat messages, joining and leaving.
const VISIBLE_MESSAGES: (u32, Duration) = (30, Duration::from_secs(15));

/// Rate limits for the messages of each client, over all of its connections.
#[derive(Debug)]
pub(crate) struct Limits {
    all: RateLimiter<Client>,
    visible: RateLimiter<Client>,
}

impl Limits {
    pub(crate) fn new() -> Limits {
        Limits {
            all: RateLimiter::new(Limit::token_bucket(ALL_MESSAGES.0, ALL_MESSAGES.1)),
            visible: RateLimiter::new(Limit::token_bucket(VISIBLE_MESSAGES.0, VISIBLE_MESSAGES.1)),
        }
    }

    /// Counts a message; returns `false` if the client has sent too many and must be disconnected.
    pub(crate) fn count_message(&mut self, client: Client, now: Duration) -> bool {
        self.all.check(&client, now).allowed
    }

    /// Counts a request that is visible to others; returns an error if the client has sent too
    /// many.
    pub(crate) fn check(
        &mut self,
        client: Client,
        request: &PageRequest,
        now: Duration,
    ) -> Result<(), Refusal> {
        let cost = match request {
            PageRequest::Join(_) | PageRequest::Say { .. } => 1,
            PageRequest::Typing | PageRequest::Leave | PageRequest::Ping => 0,
        };
        let decision = self.visible.check_cost(&client, cost, now);
        if cost == 0 || decision.allowed {
            return Ok(());
        }
        let seconds = decision.retry_after_seconds().unwrap_or(0);
        let text = format!("You are sending too fast. Wait {seconds} s, and try again.");
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

    fn visible_request() -> PageRequest {
        let (text, reference) = ("hello".into(), 1);
        PageRequest::Say { text, reference }
    }

    #[test]
    fn a_client_that_sends_too_many_messages_has_to_wait_and_others_do_not() {
        let mut limits = Limits::new();
        for _ in 0..VISIBLE_MESSAGES.0 {
            assert_eq!(
                limits.check(client(1), &visible_request(), Duration::ZERO),
                Ok(())
            );
        }
        let refusal = limits.check(client(1), &visible_request(), Duration::ZERO);
        assert_eq!(
            refusal.unwrap_err().text,
            "You are sending too fast. Wait 1 s, and try again."
        );
        assert_eq!(
            limits.check(client(1), &PageRequest::Leave, Duration::ZERO),
            Ok(())
        );
        assert_eq!(
            limits.check(client(2), &visible_request(), Duration::ZERO),
            Ok(())
        );
        assert_eq!(
            limits.check(client(1), &visible_request(), Duration::from_secs(1)),
            Ok(())
        );
    }

    #[test]
    fn a_flooding_client_exceeds_the_limit() {
        let mut limits = Limits::new();
        let accepted =
            (0..2 * ALL_MESSAGES.0).filter(|_| limits.count_message(client(1), Duration::ZERO));
        assert_eq!(accepted.count(), ALL_MESSAGES.0 as usize);
        assert!(limits.count_message(client(2), Duration::ZERO));
    }
}
