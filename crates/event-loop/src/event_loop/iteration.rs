//! An iteration of the loop.
//!
//! ```text
//! ticks queued so far → timers due → flush → wait → I/O → expired deadlines → flush → closed things freed
//! ```
//!
//! Cost of an iteration beside its callbacks: one system call (the wait), one reading of the clock, no allocation. With
//! deadlines armed, a reading of the coarse clock is added; with timers pending, a second one of the exact clock.
//!
//! Deadlines and timeouts expire only when they were due before the wait began: what had come by then has been handled.
//! So a deadline that ends a wait expires in the next iteration, whose wait takes no time.

use std::cell::RefCell;
use std::time::Duration;

use super::{Inner, Tick};
use crate::driver::Driver;
use crate::error::Error;
use crate::panic::{catch, contain};
use crate::token::Token;

/// How many full waits in a row put off what is to expire: so many report a quarter of a million events.
const FULL_WAITS: u32 = 256;

impl Inner {
    /// Runs one iteration, which waits for at most `limit`.
    pub(super) fn iterate(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.iterations.set(self.iterations.get().wrapping_add(1));
        self.run_ticks();
        self.run_timers();
        self.run_flush();
        self.wait(limit)?;
        self.run_io();
        self.run_deadlines();
        self.run_flush();
        self.run_reap();
        Ok(())
    }

    fn run_ticks(&self) {
        if self.remote.has_arrivals() {
            let arrivals = self.remote.take_arrivals();
            let mut ticks = self.ticks.borrow_mut();
            ticks.extend(arrivals.tasks.into_iter().map(Tick::Task));
            ticks.extend(arrivals.calls.into_iter().map(|call| Tick::Call(call)));
            if arrivals.stop {
                self.stopping.set(true);
            }
        }
        let queued = self.ticks.borrow().len();
        for _ in 0..queued {
            let tick = self.ticks.borrow_mut().pop_front();
            match tick {
                Some(Tick::Call(call)) => contain("tick", call),
                Some(Tick::Task(task)) => contain("task", || {
                    task.run();
                }),
                None => break,
            }
        }
    }

    fn run_timers(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        // The callbacks of the last iteration took time that the waiting below must not add to, and so do these.
        self.read_clock_after_callbacks(self.clock.elapsed());
        if crate::timer::run_due(self, self.elapsed.get()) {
            self.read_clock_after_callbacks(self.clock.elapsed());
        }
    }

    /// Returns for how long the wait may take.
    pub(super) fn timeout(&self, limit: Option<Duration>) -> Option<Duration> {
        let waits_for_nothing = !self.is_alive();
        if waits_for_nothing || self.has_work() || self.stopping.get() || self.remote.has_arrivals()
        {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.borrow().next_deadline();
        let deadline = self.deadlines.borrow().next_wakeup();
        let next = [timer, deadline].into_iter().flatten().min();
        let wait = next.map(|at| Duration::from_nanos(at.saturating_sub(self.elapsed.get())));
        [wait, limit].into_iter().flatten().min()
    }

    fn wait(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.note_lag();
        self.count_lag();
        let began = self.elapsed.get();
        let timeout = self.timeout(limit);
        let mut poller = self.poller.borrow_mut();
        let mut events = self.events.borrow_mut();
        let result = poller.wait(&mut events, timeout);
        self.read_clock();
        result.map_err(|error| Error::poll("waiting for events", error))?;
        // What is ready beyond a full wait has to be seen before anything expires, but not for ever.
        let full_waits = self.full_waits.get() + 1;
        if events.len() < poller.capacity() || full_waits > FULL_WAITS {
            self.full_waits.set(0);
            self.seen.set(began);
        } else {
            self.full_waits.set(full_waits);
        }
        Ok(())
    }

    fn run_io(&self) {
        let mut ready = std::mem::take(&mut *self.ready.borrow_mut());
        let mut events = std::mem::take(&mut *self.events.borrow_mut());
        for &(token, readiness) in events.iter().chain(&ready) {
            self.drive(token, |driver| driver.ready(token, readiness));
        }
        events.clear();
        self.events.replace(events);
        ready.clear();
        give_back(&self.ready, ready);
    }

    /// Expires what was due when the last look at readiness began: later than that, bytes may wait that count.
    fn run_deadlines(&self) {
        let now = self.seen.get();
        crate::timer::run_expiring(self, now);
        if self
            .deadlines
            .borrow()
            .next_wakeup()
            .is_none_or(|at| at > now)
        {
            return;
        }
        let mut expired = Vec::new();
        self.deadlines.borrow_mut().expire(now, &mut expired);
        for raw in expired {
            let token = Token::from_u64(raw);
            self.drive(token, |driver| driver.expired(token));
        }
    }

    #[inline]
    fn run_flush(&self) {
        if self.flush.borrow().is_empty() {
            return;
        }
        let mut flush = std::mem::take(&mut *self.flush.borrow_mut());
        for &token in &flush {
            self.drive(token, |driver| driver.flush(token));
        }
        flush.clear();
        give_back(&self.flush, flush);
    }

    #[inline]
    fn run_reap(&self) {
        if self.reap.borrow().is_empty() {
            return;
        }
        let mut reap = std::mem::take(&mut *self.reap.borrow_mut());
        for &token in &reap {
            self.drive(token, |driver| driver.reap(token));
        }
        reap.clear();
        give_back(&self.reap, reap);
    }

    #[inline]
    fn drive(&self, token: Token, call: impl FnOnce(&'static dyn Driver)) {
        let driver = self.drivers.borrow().get(token.driver().index()).copied();
        let Some(driver) = driver else { return };
        if let Err(message) = catch(|| call(driver)) {
            let reported = catch(|| driver.panicked(token, &message));
            if reported.is_err() {
                tracing::error!("a callback panicked while a panic was reported: {message}");
            }
        }
    }
}

/// Returns the storage of a drained list to it, unless the list was filled again meanwhile.
fn give_back<T>(list: &RefCell<Vec<T>>, storage: Vec<T>) {
    let mut list = list.borrow_mut();
    if list.capacity() == 0 {
        *list = storage;
    }
}
