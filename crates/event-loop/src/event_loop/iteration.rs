//! One iteration of the loop.
//!
//! ```text
//! queued ticks → due timers → flush → wait → I/O → expired deadlines → flush → closed objects freed
//! ```
//!
//! Cost of an iteration besides its callbacks: one system call (the wait), one reading of the clock, no allocation. Armed
//! deadlines add a reading of the coarse clock, pending timers a second one of the exact clock.
//!
//! Deadlines and timeouts expire only if they were due before the wait began, so that earlier events are handled first.
//! A deadline that ends a wait expires in the next iteration, whose wait does not block.

use std::cell::RefCell;
use std::time::Duration;

use super::{LoopState, Tick};
use crate::driver::Driver;
use crate::error::Error;
use crate::panic::{catch, catch_and_log};
use crate::token::Token;

/// The number of consecutive full waits that delay expiry. They report a quarter of a million events.
const FULL_WAITS: u32 = 256;

impl LoopState {
    /// Runs one iteration, which waits for at most `limit`.
    pub(super) fn iterate(&self, limit: Option<Duration>) -> Result<(), Error> {
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
        if self.remote.has_incoming() {
            let incoming = self.remote.take_incoming();
            let mut ticks = self.ticks.borrow_mut();
            ticks.extend(incoming.tasks.into_iter().map(Tick::Task));
            ticks.extend(incoming.calls.into_iter().map(|call| Tick::Call(call)));
            if incoming.stop {
                self.stopping.set(true);
            }
        }
        let queued = self.ticks.borrow().len();
        for _ in 0..queued {
            let tick = self.ticks.borrow_mut().pop_front();
            match tick {
                Some(Tick::Call(call)) => catch_and_log("tick", call),
                Some(Tick::Task(task)) => catch_and_log("task", || {
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
        // The wait is shortened by the time that the callbacks of the last iteration and the timers below take.
        self.read_clock_after_callbacks(self.clock.elapsed());
        if crate::timer::run_due(self, self.elapsed.get()) {
            self.read_clock_after_callbacks(self.clock.elapsed());
        }
    }

    /// Returns the time for which the next wait may block; `None` for no limit.
    pub(super) fn timeout(&self, limit: Option<Duration>) -> Option<Duration> {
        let nothing_pending = !self.is_alive();
        if nothing_pending || self.has_work() || self.stopping.get() || self.remote.has_incoming() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.borrow().next_deadline();
        let deadline = self.deadlines.borrow().next_wakeup();
        let next = [timer, deadline].into_iter().flatten().min();
        let wait = next.map(|at| Duration::from_nanos(at.saturating_sub(self.elapsed.get())));
        [wait, limit].into_iter().flatten().min()
    }

    fn wait(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.record_lag();
        self.count_lag();
        self.count_iteration();
        let began = self.elapsed.get();
        let timeout = self.timeout(limit);
        let mut poller = self.poller.borrow_mut();
        let mut events = self.events.borrow_mut();
        let result = poller.wait(&mut events, timeout);
        self.read_clock();
        result.map_err(|error| Error::poll("waiting for events", error))?;
        // A full wait may leave readiness unreported, which is handled before anything expires, up to a limit.
        let full_waits = self.full_waits.get() + 1;
        if events.len() < poller.capacity() || full_waits > FULL_WAITS {
            self.full_waits.set(0);
            self.handled_until.set(began);
        } else {
            self.full_waits.set(full_waits);
        }
        Ok(())
    }

    fn run_io(&self) {
        let mut ready = std::mem::take(&mut *self.ready.borrow_mut());
        let mut events = std::mem::take(&mut *self.events.borrow_mut());
        for &(token, readiness) in events.iter().chain(&ready) {
            self.call_driver(token, |driver| driver.ready(token, readiness));
        }
        events.clear();
        self.events.replace(events);
        ready.clear();
        restore_storage(&self.ready, ready);
    }

    /// Expires deadlines and timeouts that were due when the last poll for readiness began. For later ones, unhandled events may exist.
    fn run_deadlines(&self) {
        let now = self.handled_until.get();
        crate::timer::run_due_timeouts(self, now);
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
            self.call_driver(token, |driver| driver.expired(token));
        }
    }

    #[inline]
    fn run_flush(&self) {
        if self.flush.borrow().is_empty() {
            return;
        }
        let mut flush = std::mem::take(&mut *self.flush.borrow_mut());
        for &token in &flush {
            self.call_driver(token, |driver| driver.flush(token));
        }
        flush.clear();
        restore_storage(&self.flush, flush);
    }

    #[inline]
    fn run_reap(&self) {
        if self.reap.borrow().is_empty() {
            return;
        }
        let mut reap = std::mem::take(&mut *self.reap.borrow_mut());
        for &token in &reap {
            self.call_driver(token, |driver| driver.reap(token));
        }
        reap.clear();
        restore_storage(&self.reap, reap);
    }

    #[inline]
    fn call_driver(&self, token: Token, call: impl FnOnce(&'static dyn Driver)) {
        let driver = self.drivers.borrow().get(token.driver().index()).copied();
        let Some(driver) = driver else { return };
        if let Err(message) = catch(|| call(driver)) {
            let reported = catch(|| driver.panicked(token, &message));
            if reported.is_err() {
                tracing::error!("a callback panicked while another panic was reported: {message}");
            }
        }
    }
}

/// Puts the storage of a drained list back, unless the list was filled again in the meantime.
fn restore_storage<T>(list: &RefCell<Vec<T>>, storage: Vec<T>) {
    let mut list = list.borrow_mut();
    if list.capacity() == 0 {
        *list = storage;
    }
}
