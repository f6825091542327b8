//! Callbacks for many items, each at a random time within a window.
//!
//! Cost: one timer for all items, which are in one list, sorted by time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::driver;
use crate::event_loop::nanoseconds;
use crate::panic::catch_and_log;
use crate::random;
use crate::timer::{Timer, add_timer};

/// The maximum number of calls in one iteration of the loop.
const BATCH: usize = 256;

/// A schedule that calls a callback with each of many items, at a random time within a window, for example to close many connections without
/// a burst.
///
/// Clones share the schedule. The calls continue when all clones are dropped. With a window of zero the calls are made as soon as possible. A
/// panic of the callback is logged, and the calls for the other items continue.
///
/// # Limits
/// 256 calls in one iteration of the loop; the next iterations make the others.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{Staggered, run};
///
/// let sockets = vec![1, 2, 3];
/// Staggered::new(sockets, Duration::from_millis(5), |socket| println!("closing {socket}"));
/// run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub struct Staggered<T: 'static> {
    state: Rc<StaggeredState<T>>,
}

struct StaggeredState<T> {
    /// The items with their times, the earliest last.
    waiting: RefCell<Vec<(u64, T)>>,
    call: Box<dyn Fn(T)>,
    /// The end of the window.
    end: Cell<u64>,
    timer: Cell<Option<Timer>>,
}

impl<T: 'static> Staggered<T> {
    /// Schedules the calls. The window counts from now.
    pub fn new(
        items: impl IntoIterator<Item = T>,
        window: Duration,
        call: impl Fn(T) + 'static,
    ) -> Self {
        let (now, window) = (now(), nanoseconds(window));
        let scheduled = |item| (now.saturating_add(random::below(window)), item);
        let mut waiting: Vec<_> = items.into_iter().map(scheduled).collect();
        waiting.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        let state = Rc::new(StaggeredState {
            waiting: RefCell::new(waiting),
            call: Box::new(call),
            end: Cell::new(now.saturating_add(window)),
            timer: Cell::new(None),
        });
        state.arm(now);
        Staggered { state }
    }

    /// Adds an item, whose call is made at a random time within the rest of the window.
    pub fn add(&self, item: T) {
        let now = now();
        let at = now.saturating_add(random::below(self.state.end.get().saturating_sub(now)));
        {
            let mut waiting = self.state.waiting.borrow_mut();
            let position = waiting.partition_point(|(other, _)| *other > at);
            waiting.insert(position, (at, item));
        }
        self.state.arm(now);
    }

    /// Shortens the rest of the window to `window`. Does nothing if the rest is shorter.
    pub fn end_within(&self, window: Duration) {
        let (now, window) = (now(), nanoseconds(window));
        let left = self.state.end.get().saturating_sub(now);
        if window >= left {
            return;
        }
        self.state.end.set(now.saturating_add(window));
        for (at, _) in self.state.waiting.borrow_mut().iter_mut() {
            let after = u128::from(at.saturating_sub(now)) * u128::from(window) / u128::from(left);
            *at = now.saturating_add(u64::try_from(after).unwrap_or(window));
        }
        self.state.arm(now);
    }

    /// Drops the items whose calls are still pending.
    pub fn cancel(&self) {
        if let Some(timer) = self.state.timer.take() {
            timer.cancel();
        }
        // The items' destructors may use this schedule.
        let items = self.state.waiting.take();
        drop(items);
    }

    /// Returns the number of pending calls.
    pub fn len(&self) -> usize {
        self.state.waiting.borrow().len()
    }

    /// Returns `true` if all calls were made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: 'static> StaggeredState<T> {
    /// Arms the timer for the next item.
    fn arm(self: &Rc<Self>, now: u64) {
        let next = self.waiting.borrow().last().map(|(at, _)| *at);
        let timer = next.map(|at| {
            let this = Rc::clone(self);
            let wait = Duration::from_nanos(at.saturating_sub(now));
            add_timer(wait, move || this.fire())
        });
        if let Some(before) = self.timer.replace(timer) {
            before.cancel();
        }
    }

    fn fire(self: Rc<Self>) {
        self.timer.set(None);
        let now = now();
        for _ in 0..BATCH {
            let due = self
                .waiting
                .borrow_mut()
                .pop_if(|(at, _)| *at <= now)
                .map(|(_, item)| item);
            match due {
                Some(item) => catch_and_log("staggered", || (self.call)(item)),
                None => break,
            }
        }
        self.arm(now);
    }
}

/// Returns the time of the call.
fn now() -> u64 {
    nanoseconds(driver::time_of_call())
}

impl<T: 'static> Clone for Staggered<T> {
    fn clone(&self) -> Self {
        Staggered {
            state: Rc::clone(&self.state),
        }
    }
}

impl<T: 'static> fmt::Debug for Staggered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staggered")
            .field("waiting", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventLoop, ManualClock, ScriptedPoller};

    const MS: Duration = Duration::from_millis(1);

    struct Fixture {
        clock: ManualClock,
        event_loop: EventLoop,
        called: Rc<RefCell<Vec<u32>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let clock = ManualClock::new();
            let event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone());
            Fixture {
                clock,
                event_loop: event_loop.unwrap(),
                called: Rc::default(),
            }
        }

        fn start(&self, count: u32, window: Duration) -> Staggered<u32> {
            let called = Rc::clone(&self.called);
            Staggered::new(0..count, window, move |item| {
                called.borrow_mut().push(item);
                assert!(item != 3, "a callback that panics");
            })
        }

        fn pass(&self, time: Duration) {
            self.clock.advance(time);
            self.turn();
        }

        fn turn(&self) {
            self.event_loop.run_once(Some(Duration::ZERO)).unwrap();
        }

        fn count(&self) -> usize {
            self.called.borrow().len()
        }
    }

    #[test]
    fn the_calls_are_spread_over_the_window_in_a_random_order() {
        let fixture = Fixture::new();
        let staggered = fixture.start(10_000, 1000 * MS);
        let mut counts = Vec::new();
        for _ in 0..10 {
            let before = fixture.count();
            for _ in 0..100 {
                fixture.pass(MS);
            }
            counts.push(fixture.count() - before);
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
        fixture.pass(10 * MS);
        assert!(staggered.is_empty() && fixture.count() == 10_000);
        let called = fixture.called.borrow();
        let in_order = called.windows(2).filter(|two| two[0] < two[1]).count();
        assert!((4000..6000).contains(&in_order), "{in_order}");
    }

    #[test]
    fn without_a_window_an_iteration_makes_a_bounded_number_of_calls() {
        let fixture = Fixture::new();
        fixture.start(600, Duration::ZERO);
        let mut counts = Vec::new();
        while fixture.event_loop.is_alive() {
            let before = fixture.count();
            fixture.turn();
            counts.push(fixture.count() - before);
        }
        assert_eq!(counts.iter().sum::<usize>(), 600);
        assert!(
            counts.len() <= 4 && counts.iter().all(|count| *count <= BATCH),
            "{counts:?}"
        );
    }

    #[test]
    fn a_window_is_shortened_but_not_lengthened() {
        let fixture = Fixture::new();
        let staggered = fixture.start(1000, 1000 * MS);
        staggered.end_within(5000 * MS);
        fixture.pass(500 * MS);
        for _ in 0..4 {
            fixture.turn();
        }
        let half = fixture.count();
        assert!((400..600).contains(&half), "{half}");
        staggered.end_within(50 * MS);
        for _ in 0..25 {
            fixture.pass(MS);
        }
        let rest = fixture.count() - half;
        assert!((150..350).contains(&rest), "{rest}");
        for _ in 0..30 {
            fixture.pass(MS);
        }
        assert_eq!(fixture.count(), 1000);
    }

    #[test]
    fn an_added_item_is_called_within_the_rest_of_the_window() {
        let fixture = Fixture::new();
        let staggered = fixture.start(0, 100 * MS);
        assert!(!fixture.event_loop.is_alive());
        fixture.pass(50 * MS);
        (10..20).for_each(|item| staggered.add(item));
        for _ in 0..52 {
            fixture.pass(MS);
        }
        assert_eq!(fixture.count(), 10);
        staggered.add(20);
        fixture.turn();
        assert_eq!(
            fixture.count(),
            11,
            "after the window, the call is made at once"
        );
    }

    #[test]
    fn cancelled_calls_are_not_made_and_keep_no_loop_alive() {
        let fixture = Fixture::new();
        let staggered = fixture.start(10, 100 * MS);
        staggered.cancel();
        assert!(!fixture.event_loop.is_alive());
        fixture.pass(200 * MS);
        assert_eq!(fixture.count(), 0);
    }
}
