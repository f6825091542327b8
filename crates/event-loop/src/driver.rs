//! Descriptors without a closure for each, for crates that put many things of one kind on the loop.
//!
//! A watch costs a closure. A driver serves all things of one kind: it keeps them in a [`Table`](crate::Table) of its thread, and the
//! loop passes it the [`Token`] of what is ready. The loop knows drivers, never what they drive. This one counts the bytes that it receives:
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
//!             // Nothing is found when the event is older than the thing in its slot.
//!             let Some(counter) = counters.find(token).and_then(|id| counters.get_mut(id)) else {
//!                 return;
//!             };
//!             // Edge-triggered: read until it would block, or the next bytes are not reported.
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
//!         driver::hold(); // `run` waits for it until `release`
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
//! Never hold a borrow of the table while you call a callback: it may use the table through its handles.
//!
//! Activity is noted as a `Timestamp`, in four bytes and without reading a clock, and a limit of time asks
//! `Timestamp::is_over`: it counts from the activity, not from the beginning of the iteration. A `LazyDeadline` in each thing is armed
//! for the end of its limits, and moved only to an earlier time. A limit that needs no table is a
//! `driver::add_timeout`. A descriptor that may have duplicates is given to `driver::forget` before it is closed.

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

/// Looks after all things of one kind on a thread's loop.
///
/// A panic that leaves one of the calls is caught by the loop and told to [`panicked`](Driver::panicked).
pub trait Driver: Sync {
    /// A descriptor watched under the token is ready.
    fn ready(&self, token: Token, readiness: Readiness);

    /// The iteration ends, after [`flush_later`]: send what was written during it.
    fn flush(&self, token: Token) {
        let _ = token;
    }

    /// The time given to [`arm_deadline`] has come, and what was ready by then has been handled. What was active meanwhile
    /// ([`Timestamp::is_over`]) arms again for what is left.
    fn expired(&self, token: Token) {
        let _ = token;
    }

    /// The iteration is over, after [`reap_later`]: no event of it can name the thing any more.
    fn reap(&self, token: Token) {
        let _ = token;
    }

    /// A callback panicked in a call about the token.
    fn panicked(&self, token: Token, message: &str);
}

/// Names an armed deadline; an `Option` of it takes four bytes, too.
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

/// Adds a driver to this thread's loop; to be called once for each thread and driver.
///
/// # Limits
/// 255 drivers; one more is logged at error level and never called.
pub fn register(driver: &'static dyn Driver) -> DriverId {
    with(|event_loop| event_loop.register_driver(driver)).unwrap_or(DriverId::NONE)
}

/// Watches a descriptor until it is closed.
///
/// # Errors
/// What the poller says; see [`Poller::watch`](crate::Poller::watch).
pub fn watch(
    fd: BorrowedFd<'_>,
    token: Token,
    interest: Interest,
    trigger: Trigger,
) -> io::Result<()> {
    with(|event_loop| event_loop.poller().watch(fd, token, interest, trigger))
        .unwrap_or_else(|| Err(gone()))
}

/// Changes what a watched descriptor is watched for.
///
/// # Errors
/// What the poller says; see [`Poller::change`](crate::Poller::change).
pub fn change(
    fd: BorrowedFd<'_>,
    token: Token,
    interest: Interest,
    trigger: Trigger,
) -> io::Result<()> {
    with(|event_loop| event_loop.poller().change(fd, token, interest, trigger))
        .unwrap_or_else(|| Err(gone()))
}

/// Stops watching a descriptor that stays open, or that other descriptors may be duplicates of: their watch outlives it.
///
/// # Errors
/// What the poller says; see [`Poller::forget`](crate::Poller::forget).
pub fn forget(fd: BorrowedFd<'_>) -> io::Result<()> {
    with(|event_loop| event_loop.poller().forget(fd)).unwrap_or_else(|| Err(gone()))
}

/// Whether a level-triggered watch needs [`change`] after each event to report again (everywhere but on Linux).
pub fn level_needs_rearming() -> bool {
    with(|event_loop| event_loop.poller().level_needs_rearming()).unwrap_or(false)
}

/// Has [`Driver::flush`] called once at the end of this iteration.
#[inline]
pub fn flush_later(token: Token) {
    with(|event_loop| {
        event_loop.flush.borrow_mut().push(token);
        event_loop.changed();
    });
}

/// Has [`Driver::ready`] called in the next iteration, which then does not wait.
#[inline]
pub fn ready_later(token: Token, readiness: Readiness) {
    with(|event_loop| {
        event_loop.ready.borrow_mut().push((token, readiness));
        event_loop.changed();
    });
}

/// Has [`Driver::reap`] called when this iteration is over.
pub fn reap_later(token: Token) {
    with(|event_loop| {
        event_loop.reap.borrow_mut().push(token);
        event_loop.changed();
    });
}

/// Calls [`Driver::expired`] when the loop's clock has reached `at` (as [`elapsed`] counts), at most 100 ms late.
///
/// Before that, readiness is looked at once more: what had come by `at` is handled first, also after a long callback or when
/// the process was stopped.
///
/// A thing needs one deadline at a time, the earliest of what it waits for. Activity moves no deadline: note the time
/// of it, and arm again for the rest when the deadline expires. [`LazyDeadline`] does that.
pub fn arm_deadline(token: Token, at: Duration) -> Option<DeadlineId> {
    with(|event_loop| event_loop.arm_deadline(token, at)).flatten()
}

/// Forgets a deadline that has not expired yet.
pub fn disarm_deadline(id: DeadlineId) {
    with(|event_loop| event_loop.disarm_deadline(id));
}

/// Keeps `run` from returning until [`release`] is called as often.
pub fn hold() {
    with(|event_loop| event_loop.holds.set(event_loop.holds.get() + 1));
}

/// Takes one [`hold`] back.
pub fn release() {
    with(|event_loop| {
        event_loop
            .holds
            .set(event_loop.holds.get().saturating_sub(1));
        event_loop.changed();
    });
}

/// Returns the time since the loop was made: the one read at the beginning of this iteration's events, or the time of the call while the
/// loop does not run. It suits code that takes the time as a `Duration`, such as a rate limiter.
#[inline]
pub fn elapsed() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.time())).unwrap_or_default()
}

/// Calls `callback` once, after `interval`, unless the timer is cancelled: for the time that a peer or an operation may
/// take.
///
/// It differs from [`add_timer`](crate::add_timer) in its place in the iteration, which is that of [`Driver::expired`]:
/// readiness is looked at once more before, so that it is not called where what it waits for has come in time.
pub fn add_timeout<R>(interval: Duration, callback: impl FnOnce() -> R + 'static) -> Timer {
    timer::add_timeout(interval, callback)
}

/// Waits for a time as [`sleep`](crate::sleep), in the way of [`add_timeout`].
///
/// A future that waits for something else, too, polls that first.
///
/// # Cancel safety
/// Dropping the future cancels the timer.
pub fn timeout(time: Duration) -> Sleep {
    timer::timeout(time)
}

/// The time up to which readiness was handled, and how much the loop's time lagged behind in a range that depends on it.
pub(crate) fn seen_and_lag(range: impl FnOnce(u64) -> (u64, u64)) -> (u64, u64) {
    with(|event_loop| {
        let (from, to) = range(event_loop.seen());
        let lag = event_loop.lags.borrow().longest(from, to);
        (event_loop.seen(), lag)
    })
    .unwrap_or_default()
}

/// Reads the clock: the time of the call, as [`elapsed`] counts. For durations that begin with a call, not for what
/// happens with each event.
pub fn time_of_call() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.time_of_call())).unwrap_or_default()
}

/// The time, as [`elapsed`] counts, up to which readiness was looked at and handled. A limit that ends later is not over.
pub fn handled_until() -> Duration {
    with(|event_loop| Duration::from_nanos(event_loop.seen())).unwrap_or_default()
}

/// [`elapsed`] in nanoseconds.
#[inline]
pub fn nanoseconds() -> u64 {
    with(|event_loop| event_loop.time()).unwrap_or_default()
}

/// The number of the loop's iteration, for what may be done so often in each. It wraps.
pub fn iteration() -> u64 {
    with(|event_loop| event_loop.iterations.get()).unwrap_or_default()
}

/// The error of what needs the loop while the thread is torn down.
pub fn gone() -> io::Error {
    io::Error::other("the thread's event loop is gone")
}
