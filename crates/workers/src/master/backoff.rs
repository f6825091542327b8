//! The wait before a worker that dies repeatedly is started again.

use std::time::Duration;

use uptick_event_loop::Backoff;

/// A wait that doubles with each early death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestartBackoff {
    waits: Backoff,
    deaths: u32,
}

impl RestartBackoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        RestartBackoff {
            waits: Backoff::new(first, longest.max(first)),
            deaths: 0,
        }
    }

    /// Returns the current wait; the next one is twice as long.
    pub(crate) fn wait(&mut self) -> Duration {
        self.deaths = self.deaths.saturating_add(1);
        self.waits.delay(self.deaths)
    }

    /// Returns to the first wait, because a worker has lived long enough.
    pub(crate) fn reset(&mut self) {
        self.deaths = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum_until_they_are_reset() {
        let ms = Duration::from_millis;
        let mut backoff = RestartBackoff::new(ms(100), ms(350));
        let waits: Vec<Duration> = (0..4).map(|_| backoff.wait()).collect();
        assert_eq!(waits, [ms(100), ms(200), ms(350), ms(350)]);
        backoff.reset();
        assert_eq!(backoff.wait(), ms(100));
    }
}
