//! A deadline that activity does not move.

use crate::driver::{self, DeadlineId, Timestamp};
use crate::token::Token;

/// The deadline of one object, armed again only for an earlier time. It is for timeouts that count from the last activity.
///
/// Activity moves the end of a timeout, but not the deadline. So the deadline may expire early: its owner then calls
/// [`expired`](LazyDeadline::expired), checks its timeouts ([`Timestamp::is_over`]), and arms again for the remaining time.
///
/// It takes eight bytes. Dropping it does not disarm it: the owner calls [`cancel`](LazyDeadline::cancel) before the
/// object is dropped.
#[derive(Debug, Default)]
pub struct LazyDeadline {
    id: Option<DeadlineId>,
    /// The time for which the deadline is armed.
    at: Timestamp,
}

impl LazyDeadline {
    /// Arms the deadline for `at`, unless it is already armed for that time or an earlier one; see
    /// [`arm_deadline`](driver::arm_deadline). `token` is called only to arm it; if it returns `None`, the deadline stays unarmed.
    ///
    /// Cost if it is already armed: a comparison.
    #[inline]
    pub fn arm(&mut self, token: impl FnOnce() -> Option<Token>, at: Timestamp) {
        if self.id.is_none() || at.is_before(self.at) {
            self.rearm(token, at);
        }
    }

    #[cold]
    fn rearm(&mut self, token: impl FnOnce() -> Option<Token>, at: Timestamp) {
        self.cancel();
        self.at = at;
        let at = driver::elapsed().saturating_add(at.left());
        self.id = token().and_then(|token| driver::arm_deadline(token, at));
    }

    /// Records that the deadline has expired. Call it first in [`Driver::expired`](driver::Driver::expired).
    #[inline]
    pub fn expired(&mut self) {
        self.id = None;
    }

    /// Disarms the deadline, if it is armed.
    pub fn cancel(&mut self) {
        if let Some(id) = self.id.take() {
            driver::disarm_deadline(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;
    use crate::driver::Driver;
    use crate::{EventLoop, ManualClock, Readiness, ScriptedPoller, Table};

    thread_local! {
        /// The times at which deadlines have expired, in tenths of a second.
        static EXPIRED: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
    }

    struct Recorder;

    impl Driver for Recorder {
        fn ready(&self, _: Token, _: Readiness) {}

        fn expired(&self, _: Token) {
            EXPIRED.with_borrow_mut(|all| all.push(driver::elapsed().as_millis() / 100));
        }

        fn panicked(&self, _: Token, message: &str) {
            panic!("{message}");
        }
    }

    struct Fixture {
        clock: ManualClock,
        event_loop: EventLoop,
        token: Token,
        deadline: LazyDeadline,
    }

    impl Fixture {
        fn new() -> Self {
            let clock = ManualClock::new();
            let event_loop =
                EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
            let id = Table::new().insert(()).unwrap();
            Fixture {
                clock,
                event_loop,
                token: id.token(driver::register(&Recorder)),
                deadline: LazyDeadline::default(),
            }
        }

        /// Arms the deadline for `seconds` from now.
        fn arm(&mut self, seconds: u64) {
            let at = Timestamp::now().after(Duration::from_secs(seconds));
            let token = self.token;
            self.deadline.arm(|| Some(token), at);
        }

        /// Advances the clock, in steps of a tenth of a second.
        fn pass(&self, seconds: u64) {
            for _ in 0..10 * seconds {
                self.clock.advance(Duration::from_millis(100));
                self.event_loop.run_once(Some(Duration::ZERO)).unwrap();
            }
        }

        /// Returns the times at which the deadline has expired, in whole seconds.
        fn expired(&self) -> Vec<u128> {
            EXPIRED.with_borrow(|all| all.iter().map(|tenths| tenths / 10).collect())
        }
    }

    #[test]
    fn a_later_time_does_not_move_the_deadline_until_it_has_expired() {
        let mut fixture = Fixture::new();
        fixture.arm(10);
        fixture.pass(5);
        fixture.arm(10);
        fixture.pass(6);
        assert_eq!(fixture.expired(), [10]);
        fixture.deadline.expired();
        fixture.arm(4);
        fixture.pass(10);
        assert_eq!(fixture.expired(), [10, 15]);
    }

    #[test]
    fn an_earlier_time_replaces_the_deadline() {
        let mut fixture = Fixture::new();
        fixture.arm(10);
        fixture.arm(3);
        fixture.pass(20);
        assert_eq!(fixture.expired(), [3]);
    }

    #[test]
    fn a_cancelled_deadline_does_not_expire_and_can_be_armed_again() {
        let mut fixture = Fixture::new();
        fixture.arm(3);
        fixture.deadline.cancel();
        fixture.pass(5);
        assert!(fixture.expired().is_empty());
        fixture.arm(10);
        fixture.pass(11);
        assert_eq!(fixture.expired(), [15]);
    }

    #[test]
    fn no_deadline_is_armed_without_a_token() {
        let mut fixture = Fixture::new();
        fixture.deadline.arm(|| None, Timestamp::now());
        fixture.arm(3);
        fixture.pass(4);
        assert_eq!(fixture.expired(), [3]);
    }

    #[test]
    fn it_takes_eight_bytes() {
        assert_eq!(size_of::<LazyDeadline>(), 8);
    }
}
