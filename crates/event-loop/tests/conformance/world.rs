//! The environments in which the suite runs.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use uptick_event_loop::{EventLoop, ManualClock, Readiness, ScriptedPoller, Step};

/// An environment: a poller and a clock.
pub(crate) trait World: Clone + 'static {
    /// Sets up the loop of the thread.
    fn set_up() -> Self;

    /// Sets the events that the next wait reports. With the system's poller this has no effect.
    fn expect(&self, ready: &[(BorrowedFd<'_>, Readiness)]);

    /// Makes the next wait report no events.
    fn expect_nothing(&self);

    /// Simulates work of this duration inside a callback.
    fn work(&self, time: Duration);
}

/// mio and the system's clock.
#[derive(Clone)]
pub(crate) struct System;

impl World for System {
    fn set_up() -> Self {
        System
    }

    fn expect(&self, _: &[(BorrowedFd<'_>, Readiness)]) {}

    fn expect_nothing(&self) {}

    fn work(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// A script and a manual clock.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) poller: ScriptedPoller,
    pub(crate) clock: ManualClock,
}

impl World for Scripted {
    fn set_up() -> Self {
        let clock = ManualClock::new();
        let poller = ScriptedPoller::new(&clock);
        EventLoop::install(poller.clone(), clock.clone()).unwrap();
        Scripted { poller, clock }
    }

    fn expect(&self, ready: &[(BorrowedFd<'_>, Readiness)]) {
        let ready = ready
            .iter()
            .map(|(fd, readiness)| (fd.as_raw_fd(), *readiness));
        self.poller.push(Step::Ready(ready.collect()));
    }

    fn expect_nothing(&self) {
        self.poller.push(Step::Ready(Vec::new()));
    }

    fn work(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// Runs a test on its own thread, which has its own loop.
pub(crate) fn run_in<W: World>(test: fn(W)) {
    on_a_new_thread(move || test(W::set_up()));
}

pub(crate) fn on_a_new_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match thread::spawn(f).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The recorded events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// Returns a callback that records `what`.
    pub(crate) fn noting(&self, what: &'static str) -> impl FnMut() + 'static {
        let log = self.clone();
        move || log.note(what)
    }

    /// Returns the events so far, and clears the log.
    pub(crate) fn take(&self) -> String {
        self.0.borrow_mut().drain(..).collect::<Vec<_>>().join(",")
    }
}

/// A value that records its drop in the log.
pub(crate) struct Dropped(pub(crate) Log, pub(crate) &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

pub(crate) const READABLE: Readiness = Readiness::READABLE;
pub(crate) const WRITABLE: Readiness = Readiness::WRITABLE;
pub(crate) const BOTH: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);

pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Returns an event of `source` for [`World::expect`].
pub(crate) fn at(source: &impl AsFd, readiness: Readiness) -> (BorrowedFd<'_>, Readiness) {
    (source.as_fd(), readiness)
}
