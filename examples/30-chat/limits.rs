//! How much a client may send.

use std::time::Duration;

use uptick::rate_limit::{Client, Limit, RateLimiter};

use super::wire::Ask;
use super::words::Refusal;

/// Whatever a client sends: a page that is used by hand stays far below.
const FRAMES: (u32, Duration) = (300, Duration::from_secs(10));
/// What others get to see: messages, and coming and going.
const WORDS: (u32, Duration) = (30, Duration::from_secs(15));

/// Counts what each client sends, over all of its connections.
#[derive(Debug)]
pub(crate) struct Limits {
    frames: RateLimiter<Client>,
    words: RateLimiter<Client>,
}

impl Limits {
    pub(crate) fn new() -> Limits {
        Limits {
            frames: RateLimiter::new(Limit::token_bucket(FRAMES.0, FRAMES.1)),
            words: RateLimiter::new(Limit::token_bucket(WORDS.0, WORDS.1)),
        }
    }

    /// Whether a client may go on at all.
    pub(crate) fn bears(&mut self, client: Client, now: Duration) -> bool {
        self.frames.check(&client, now).allowed
    }

    /// Whether a client may do this now.
    pub(crate) fn check(
        &mut self,
        client: Client,
        ask: &Ask,
        now: Duration,
    ) -> Result<(), Refusal> {
        let cost = match ask {
            Ask::Join(_) | Ask::Say { .. } => 1,
            Ask::Typing | Ask::Leave | Ask::Ping => 0,
        };
        let decision = self.words.check_cost(&client, cost, now);
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

    fn word() -> Ask {
        let (text, reference) = ("hello".into(), 1);
        Ask::Say { text, reference }
    }

    #[test]
    fn who_says_too_much_is_told_to_wait_and_others_are_not() {
        let mut limits = Limits::new();
        for _ in 0..WORDS.0 {
            assert_eq!(limits.check(client(1), &word(), Duration::ZERO), Ok(()));
        }
        let refusal = limits.check(client(1), &word(), Duration::ZERO);
        assert_eq!(
            refusal.unwrap_err().text,
            "You are sending too fast. Wait 1 s, and try again."
        );
        assert_eq!(limits.check(client(1), &Ask::Leave, Duration::ZERO), Ok(()));
        assert_eq!(limits.check(client(2), &word(), Duration::ZERO), Ok(()));
        assert_eq!(
            limits.check(client(1), &word(), Duration::from_secs(1)),
            Ok(())
        );
    }

    #[test]
    fn who_sends_without_end_is_not_borne() {
        let mut limits = Limits::new();
        let borne = (0..2 * FRAMES.0).filter(|_| limits.bears(client(1), Duration::ZERO));
        assert_eq!(borne.count(), FRAMES.0 as usize);
        assert!(limits.bears(client(2), Duration::ZERO));
    }
}
