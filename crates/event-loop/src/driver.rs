//! Drivers: I/O without a closure for each descriptor, for crates that add many objects of one kind to the loop.
//!
//! A watch costs a closure. A driver serves all objects of one kind: it keeps them in a [`Table`](crate::Table) of its thread, and the
//! loop passes it the [`Token`] of each ready object. The loop has references to drivers, but not to their objects. This driver counts received bytes:
//!
//! ```rust
//! use std::cell::RefCell;
//! use std::io::{self, Read, Write};
//! use std::os::fd::AsFd;
//! use std::os::unix::net::UnixStream;
//! use uptick_event_loop::driver::{self, Driver};
//! use uptick_event_loop::{DriverId, Interest, Readiness, Table, Token, Trigger, run};
//!
//! struct Counter {
//!     stream: UnixStream,
//!     bytes: usize,
//! }
//!
//! thread_local! {
//!     static COUNTERS: RefCell<Table<Counter>> = const { RefCell::new(Table::new()) };
//!     static DRIVER: DriverId = driver::register(&CounterDriver);
//! }
//!
//! struct CounterDriver;
//!
//! impl Driver for CounterDriver {
//!     fn ready(&self, token: Token, _: Readiness) {
//!         COUNTERS.with_borrow_mut(|counters| {
//!             // `None` if the event belongs to an earlier object of the slot.
//!             let Some(counter) = counters.find(token).and_then(|id| counters.get_mut(id)) else {
//!                 return;
//!             };
//!             // Edge-triggered: read until it would block, or further bytes are not reported.
//!             let mut buffer = [0; 4096];
//!             loop {
//!                 match counter.stream.read(&mut buffer) {
//!                     Ok(0) => return driver::reap_later(token),
//!                     Ok(read) => counter.bytes += read,
//!                     Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
//!                     Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
//!                     Err(_) => return driver::reap_later(token),
//!                 }
//!             }
//!         });
//!     }
//!
//!     fn reap(&self, token: Token) {
//!         let gone = COUNTERS.with_borrow_mut(|counters| counters.remove(counters.find(token)?));
//!         if let Some(counter) = gone {
//!             println!("{} bytes", counter.bytes);
//!             driver::release();
//!         } // closing the descriptor ends the watch
//!     }
//!
//!     fn panicked(&self, token: Token, _: &str) {
//!         driver::reap_later(token);
//!     }
//! }
//!
//! fn count(stream: UnixStream) -> io::Result<()> {
//!     stream.set_nonblocking(true)?;
//!     let counter = Counter { stream, bytes: 0 };
//!     COUNTERS.with_borrow_mut(|counters| {
//!         let id = counters.insert(counter).ok_or(io::ErrorKind::OutOfMemory)?;
//!         let token = id.token(DRIVER.with(|driver| *driver));
//!         if let Some(counter) = counters.get(id) {
//!             driver::watch(counter.stream.as_fd(), token, Interest::Read, Trigger::Edge)?;
//!         }
//!         driver::hold(); // keeps `run` running until `release`
//!         Ok(())
//!     })
//! }
//!
//! let (mut ours, theirs) = UnixStream::pair()?;
//! count(theirs)?;
//! ours.write_all(b"hello")?;
//! drop(ours);
//! run()?;
//! # assert!(COUNTERS.with_borrow(Table::is_empty));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Do not borrow the table while calling a callback: the callback may use the table through its handles.
//!
//! Store the time of activity as a `Timestamp`, which takes four bytes and reads no clock, and check a timeout with
//! `Timestamp::is_over`: it counts from the activity, not from the beginning of the iteration. Arm a `LazyDeadline` in each object
//! for its earliest timeout; it moves only to an earlier time. For a timeout without a table, use
//! `driver::add_timeout`. Pass a descriptor that may have duplicates to `driver::forget` before it is closed.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::event_loop::with;
pub use crate::lazy_deadline::LazyDeadline;
use crate::poller::{Interest, Readiness, Trigger};
use crate::timer::{self, Sleep, Timer};
pub use crate::timestamp::Timestamp;
use crate::token::{DriverId, Token};

/// The event handler for all objects of one kind on a thread's loop.
///
/// The loop catches a panic in any of the methods and passes it to [`panicked`](Driver::panicked).
pub trait Driver: Sync {
    /// Called when a descriptor watched under the token is ready.
    fn ready(&self, token: Token, readiness: Readiness);

    /// Called at the end of the iteration after [`flush_later`], to send the data written during it.
    fn flush(&self, token: Token) {
        let _ = token;
    }

    /// Called when a deadline of [`arm_deadline`] has expired and all earlier readiness was handled. If the object was active in the meantime
    /// ([`Timestamp::is_over`] returns `false`), it arms the deadline again for the remaining time.
    fn expired(&self, token: Token) {
        let _ = token;
    }

    /// Called after the iteration in which [`reap_later`] was called: none of its events refers to the object any more.
    fn reap(&self, token: Token) {
        let _ = token;
    }

    /// Called when a callback panicked during a call for the token.
    fn panicked(&self, token: Token, message: &str);
}

/// The identifier of an armed deadline. An `Option` of it takes four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineId(NonZeroU32);

impl DeadlineId {
    pub(crate) fn new(index: u32) -> Option<Self> {
        index
            .checked_add(1)
            .and_then(NonZeroU32::new)
            .map(DeadlineId)
    }

    pub(crate) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// Adds a driver to this thread's loop. Call it once for each thread and driver.
///
/// # Limits
/// 255 drivers. A further driver is logged at error level and never called.
pub fn register(driver: &'static dyn Driver) -> DriverId {
    with(|event_loop| event_loop.register_driver(driver)).unwrap_or(DriverId::NONE)
}

/// Watches a descriptor until it is closed.
///
/// # Errors
/// The error of [`Poller::watch`](crate::Poller::watch).
pub fn watch(
    fd: BorrowedFd<'_>,
    token: Token,
    interest: Interest,
    trigger: Trigger,
) -> io::Result<()> {
    with(|event_loop| event_loop.poller().watch(fd, token, interest, trigger))
        .unwrap_or_else(|| Err(loop_gone_error()))
}

/// Changes the interest of a watched descriptor.
///
/// # Errors
/// The error of [`Poller::change`](crate::Poller::change).
pub fn change(
    fd: BorrowedFd<'_>,
    token: Token,
    interest: Interest,
    trigger: Trigger,
) -> io::Result<()> {
    with(|event_loop| event_loop.poller().change(fd, token, interest, trigger))
        .unwrap_or_else(|| Err(loop_gone_error()))
}

/// Stops watching a descriptor that stays open or may have duplicates: without this call, the watch lasts until all duplicates are closed.
///
/// # Errors
/// The error of [`Poller::forget`](crate::Poller::forget).
pub fn forget(fd: BorrowedFd<'_>) -> io::Result<()> {
    with(|event_loop| event_loop.poller().forget(fd)).unwrap_or_else(|| Err(loop_gone_error()))
}

/// Returns `true` if a level-triggered watch needs [`change`] after each event to report again (everywhere but on Linux).
pub fn level_needs_rearming() -> bool {
    with(|event_loop| event_loop.poller().level_needs_rearming()).unwrap_or(false)
}

/// Schedules a call of [`Driver::flush`] for the end of this iteration.
#[inline]
pub fn flush_later(token: Token) {
    with(|event_loop| {
        event_loop.flush.borrow_mut().push(token);
        event_loop.changed();
    });
}

/// Schedules a call of [`Driver::ready`] for the next iteration, which then does not wait.
#[inline]
pub fn ready_later(token: Token, readiness: Readiness) {
    with(|event_loop| {
        event_loop.ready.borrow_mut().push((token, readiness));
        event_loop.changed();
    });
}

/// Schedules a call of [`Driver::reap`] after this iteration.
pub fn reap_later(token: Token) {
    with(|event_loop| {
        event_loop.reap.borrow_mut().push(token);
        event_loop.changed();
    });
}

/// Calls [`Driver::expired`] when the loop's clock has reached `at` (as [`elapsed`] counts), at most 100 ms late.
///
/// The loop polls for readiness before that call: events that arrived before `at` are handled first, even after a long callback or when
/// the process was stopped.
///
/// An object needs one deadline at a time, for its earliest timeout. Activity does not move the deadline: store the time
/// of the activity, and arm again for the remaining time when the deadline expires. [`LazyDeadline`] does that.
pub fn arm_deadline(token: Token, at: Duration) -> Option<DeadlineId> {
    with(|event_loop| event_loop.arm_deadline(token, at)).flatten()
}

/// Removes a deadline that has not expired yet.
pub fn disarm_deadline(id: DeadlineId) {
    with(|event_loop| event_loop.disarm_deadline(id));
}

/// Keeps `run` from returning until [`release`] is called the same number of times.
pub fn hold() {
    with(|event_loop| event_loop.holds.set(event_loop.holds.get() + 1));
}

/// Undoes one [`hold`].
pub fn release() {
    with(|event_loop| {
        event_loop
            .holds
            .set(event_loop.holds.get().saturating_sub(1));
        event_loop.changed();
    });
}

/// Returns the time since the loop was created, as read at the beginning of this iteration's events, or the current time if the
/// loop is not running. It suits code that takes the time as a `Duration`, such as a rate limiter.
#[inline]
pub fn elapsed() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.time())).unwrap_or_default()
}

/// Calls `callback` once, after `interval`, unless the timer is cancelled. It is the timeout of an operation or of a wait for a
/// peer.
///
/// Unlike with [`add_timer`](crate::add_timer), the callback runs together with [`Driver::expired`]:
/// the loop polls for readiness first, so the timeout does not fire if the awaited event arrived in time.
pub fn add_timeout<R>(interval: Duration, callback: impl FnOnce() -> R + 'static) -> Timer {
    timer::add_timeout(interval, callback)
}

/// Waits like [`sleep`](crate::sleep), with the order of [`add_timeout`].
///
/// A future that also waits for something else polls that first.
///
/// # Cancel safety
/// Dropping the future cancels the timer.
pub fn timeout(time: Duration) -> Sleep {
    timer::timeout(time)
}

/// Returns the time up to which readiness was handled, and the longest lag of the loop's time within a range that depends on it.
pub(crate) fn handled_until_and_lag(range: impl FnOnce(u64) -> (u64, u64)) -> (u64, u64) {
    with(|event_loop| {
        let (from, to) = range(event_loop.handled_until());
        let lag = event_loop.lags.borrow().longest(from, to);
        (event_loop.handled_until(), lag)
    })
    .unwrap_or_default()
}

/// Reads the clock and returns the current time, on the time scale of [`elapsed`]. Use it for durations that count from a call, not in
/// code that runs for each event.
pub fn current_time() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.current_time())).unwrap_or_default()
}

/// Returns the time up to which readiness was polled and handled, on the time scale of [`elapsed`]. A timeout that ends later has not expired.
pub fn handled_until() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.handled_until())).unwrap_or_default()
}

/// Returns [`elapsed`] in nanoseconds.
#[inline]
pub fn nanoseconds() -> u64 {
    with(|event_loop| event_loop.time()).unwrap_or_default()
}

/// Returns the number of the current iteration, for budgets per iteration and for knowledge that is as recent as the last wait. It wraps.
///
/// It changes before each wait for events, so that the ticks and timers before the wait belong to the events that were handled last. It also changes
/// when the loop returns.
pub fn iteration() -> u64 {
    with(|event_loop| event_loop.iterations.get()).unwrap_or_default()
}

/// Returns the error for operations that need the loop while the thread is torn down.
pub fn loop_gone_error() -> io::Error {
    io::Error::other("the thread's event loop is gone")
}
