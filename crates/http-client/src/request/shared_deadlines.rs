//! Deadlines of all requests of a thread, for which the loop keeps one deadline.
//!
//! The deadline of the loop is moved only to an earlier time, so that a request usually finds it armed. When it expires, the deadlines of all
//! requests are looked at, and it is armed again for the earliest.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use uptick_event_loop::driver::{self, Driver, LazyDeadline, Timestamp};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token};

/// A deadline that can be polled. It is not moved by activity.
pub(super) struct SharedDeadline {
    since: Timestamp,
    until: Timestamp,
    /// The place in the list, once the deadline was waited for.
    place: Option<Id>,
}

struct WaitingRequest {
    since: Timestamp,
    until: Timestamp,
    waker: Waker,
    is_over: bool,
}

/// The deadlines that are waited for.
#[derive(Default)]
struct SharedDeadlines {
    waiting: Table<WaitingRequest>,
    armed: LazyDeadline,
    driver: Option<DriverId>,
}

thread_local! {
    static ALL: RefCell<SharedDeadlines> = RefCell::default();
}

/// Calls `f` with the list of this thread; returns `None` while the thread is ending.
fn with<R>(f: impl FnOnce(&mut SharedDeadlines) -> R) -> Option<R> {
    ALL.try_with(|all| f(&mut all.borrow_mut())).ok()
}

impl SharedDeadline {
    pub(super) fn new(limit: Duration) -> SharedDeadline {
        let since = Timestamp::now();
        SharedDeadline {
            since,
            until: since.after(limit),
            place: None,
        }
    }

    /// Waits until the time is over.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let waker = context.waker();
        let is_over = with(|all| match self.place {
            Some(place) => all.update(place, waker),
            None => {
                self.place = all.insert(self.since, self.until, waker.clone());
                false
            }
        });
        match is_over {
            Some(true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Drop for SharedDeadline {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The waker is dropped after the borrow.
            drop(with(|all| all.waiting.remove(place)));
        }
    }
}

impl SharedDeadlines {
    fn insert(&mut self, since: Timestamp, until: Timestamp, waker: Waker) -> Option<Id> {
        let place = self.waiting.insert(WaitingRequest {
            since,
            until,
            waker,
            is_over: false,
        });
        self.arm(until);
        place
    }

    /// Stores the waker of a later poll. Returns `true` if the time is over.
    fn update(&mut self, place: Id, waker: &Waker) -> bool {
        let Some(waiting) = self.waiting.get_mut(place) else {
            return false;
        };
        if !waiting.waker.will_wake(waker) {
            waiting.waker.clone_from(waker);
        }
        waiting.is_over
    }

    fn arm(&mut self, until: Timestamp) {
        let SharedDeadlines { armed, driver, .. } = self;
        let token = || {
            let driver = driver.get_or_insert_with(|| driver::register(&SharedDeadlineDriver));
            Some(Id::NONE.token(*driver))
        };
        armed.arm(token, until);
    }

    /// Returns the wakers of the requests whose time is over, and arms the deadline for the next one.
    fn expired(&mut self) -> Vec<Waker> {
        self.armed.expired();
        let left = self.waiting.iter().filter(|(_, waiting)| !waiting.is_over);
        let (over, left): (Vec<_>, Vec<_>) =
            left.partition(|(_, waiting)| waiting.until.has_passed(waiting.since));
        let next = left.into_iter().map(|(_, waiting)| waiting.until);
        let next = next.reduce(Timestamp::earlier);
        let over: Vec<_> = over.into_iter().map(|(place, _)| place).collect();
        if let Some(next) = next {
            self.arm(next);
        }
        let wakers = over.into_iter().filter_map(|place| {
            let waiting = self.waiting.get_mut(place)?;
            waiting.is_over = true;
            Some(waiting.waker.clone())
        });
        wakers.collect()
    }
}

/// The driver of the shared deadline.
struct SharedDeadlineDriver;

impl Driver for SharedDeadlineDriver {
    fn ready(&self, _: Token, _: Readiness) {}

    fn expired(&self, _: Token) {
        for waker in with(SharedDeadlines::expired).unwrap_or_default() {
            waker.wake();
        }
    }

    fn panicked(&self, _: Token, message: &str) {
        tracing::error!("waking a request panicked: {message}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::task::{ArcWake, waker};
    use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Fixture {
        clock: ManualClock,
        event_loop: EventLoop,
        wakes: Arc<Wakes>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let clock = ManualClock::new();
            let event_loop =
                EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
            Fixture {
                clock,
                event_loop,
                wakes: Arc::default(),
            }
        }

        /// Advances the clock, in steps of a tenth of a second.
        fn pass(&self, seconds: u64) {
            for _ in 0..10 * seconds {
                self.clock.advance(Duration::from_millis(100));
                self.event_loop.run_once(Some(Duration::ZERO)).unwrap();
            }
        }

        fn is_over(&self, deadline: &mut SharedDeadline) -> bool {
            let waker = waker(Arc::clone(&self.wakes));
            deadline.poll(&Context::from_waker(&waker)).is_ready()
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    fn after(seconds: u64) -> SharedDeadline {
        SharedDeadline::new(Duration::from_secs(seconds))
    }

    #[test]
    fn each_deadline_expires_at_its_time() {
        let fixture = Fixture::new();
        let mut long = after(10);
        assert!(!fixture.is_over(&mut long));
        let mut short = after(5);
        assert!(!fixture.is_over(&mut short));
        fixture.pass(4);
        assert!(!fixture.is_over(&mut short));
        assert_eq!(fixture.wakes(), 0);
        fixture.pass(2);
        assert_eq!(fixture.wakes(), 1);
        assert!(fixture.is_over(&mut short) && !fixture.is_over(&mut long));
        fixture.pass(3);
        assert!(!fixture.is_over(&mut long));
        fixture.pass(2);
        assert_eq!(fixture.wakes(), 2);
        assert!(fixture.is_over(&mut long));
    }

    #[test]
    fn a_dropped_deadline_wakes_nothing_and_does_not_delay_others() {
        let fixture = Fixture::new();
        let mut first = after(5);
        assert!(!fixture.is_over(&mut first));
        drop(first);
        fixture.pass(3);
        let mut second = after(4);
        assert!(!fixture.is_over(&mut second));
        fixture.pass(3);
        assert_eq!(fixture.wakes(), 0);
        fixture.pass(2);
        assert_eq!(fixture.wakes(), 1);
        assert!(fixture.is_over(&mut second));
    }

    #[test]
    fn a_deadline_does_not_keep_the_loop_running() {
        let fixture = Fixture::new();
        let mut deadline = after(5);
        assert!(!fixture.is_over(&mut deadline));
        assert!(!fixture.event_loop.is_alive());
    }
}
