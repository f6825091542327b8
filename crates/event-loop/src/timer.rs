//! Timers, one-shot and periodic.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::event_loop::{LoopState, nanoseconds, with};
use crate::local::UseRemoteOrLoopHandle;
use crate::panic::catch_and_log;
use crate::table::Id;

/// A handle to a timer of this thread's loop. Its methods do nothing if the timer has fired or was cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    key: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// The callback of a timer, by its kind.
pub(crate) enum TimerEntry {
    Once(Box<dyn FnOnce()>),
    Periodic(u64, Box<dyn FnMut(Timer)>),
    Timeout(Box<dyn FnOnce()>),
}

/// A due timeout. Until its callback is called, the timer table lists it as a running timer.
pub(crate) struct DueTimeout {
    id: Id,
    due: u64,
    callback: Box<dyn FnOnce()>,
}

impl Timer {
    /// Cancels the timer. Does nothing if it has fired or was cancelled.
    pub fn cancel(self) {
        // The callback is dropped after the borrow: its captured values may use the loop.
        let entry = self.key.and_then(|key| {
            with(|event_loop| {
                let entry = event_loop.timers.borrow_mut().remove(key);
                event_loop.changed();
                entry
            })
        });
        drop(entry);
    }

    /// Returns `true` if the timer is pending: a one-shot timer that has not fired, or a periodic timer, and not cancelled.
    pub fn is_pending(self) -> bool {
        let pending = |key| with(|event_loop| event_loop.timers.borrow().contains(key));
        self.key.and_then(pending).unwrap_or(false)
    }
}

/// Calls `callback` once, after `interval`.
///
/// Timers fire in the order of their deadlines, and timers with the same deadline in the order in which they were added. The interval counts
/// from the call, regardless of earlier callbacks of the iteration, and a timer never fires before it has elapsed. A zero
/// timer added by a tick fires in the same iteration, one added by a timer in the next. A panic in the callback is logged,
/// and the loop continues.
///
/// # Limits
/// 2³² pending timers of a loop. A further timer is dropped, and its handle behaves as if the timer had fired.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{add_timer, run};
///
/// let timer = add_timer(Duration::from_millis(1), || println!("tick"));
/// let never = add_timer(Duration::from_secs(3600), || unreachable!());
/// never.cancel();
/// run()?;
/// assert!(!timer.is_pending());
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn add_timer<R>(interval: Duration, callback: impl FnOnce() -> R + 'static) -> Timer {
    let callback = Box::new(move || {
        callback();
    });
    add(interval, TimerEntry::Once(callback))
}

/// Calls `callback` every `interval` until the timer is cancelled.
///
/// The first interval counts from the call, each further one from the iteration in which the callback ran, so that a delayed loop does
/// not catch up in a burst. An interval under 1 ms counts as 1 ms. A panic in the callback is logged, and the timer stays
/// armed: a callback that cancels the timer should do so before any code that may panic.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{Timer, add_periodic_timer, run};
///
/// let mut left = 3;
/// add_periodic_timer(Duration::from_millis(1), move |timer: Timer| {
///     left -= 1;
///     if left == 0 {
///         timer.cancel();
///     }
/// });
/// run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn add_periodic_timer<R>(
    interval: Duration,
    mut callback: impl FnMut(Timer) -> R + 'static,
) -> Timer {
    let interval = interval.max(Duration::from_millis(1));
    let callback: Box<dyn FnMut(Timer)> = Box::new(move |timer| {
        callback(timer);
    });
    add(
        interval,
        TimerEntry::Periodic(nanoseconds(interval), callback),
    )
}

/// Cancels a timer. The same as [`Timer::cancel`].
pub fn cancel_timer(timer: Timer) {
    timer.cancel();
}

/// Waits for a duration, which counts from the call.
///
/// # Cancel safety
/// Dropping the future cancels the timer.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// uptick_event_loop::block_on(async {
///     uptick_event_loop::sleep(Duration::from_millis(1)).await;
/// })?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn sleep(time: Duration) -> Sleep {
    Sleep::new(|sender| add_timer(time, move || sender.send(())))
}

/// Calls `callback` once, after `interval`, like [`add_timer`], but together with expired [deadlines](super::driver::arm_deadline).
pub(crate) fn add_timeout<R>(interval: Duration, callback: impl FnOnce() -> R + 'static) -> Timer {
    let callback = Box::new(move || {
        callback();
    });
    add(interval, TimerEntry::Timeout(callback))
}

/// Waits like [`sleep`], with [`add_timeout`].
pub(crate) fn timeout(time: Duration) -> Sleep {
    Sleep::new(|sender| add_timeout(time, move || sender.send(())))
}

/// A future that waits for a duration; created by [`sleep`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    timer: Timer,
    receiver: futures::channel::oneshot::Receiver<()>,
}

impl Sleep {
    fn new(add: impl FnOnce(futures::channel::oneshot::Sender<()>) -> Timer) -> Self {
        let (sender, receiver) = futures::channel::oneshot::channel();
        Sleep {
            timer: add(sender),
            receiver,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.receiver).poll(context).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timer.cancel();
    }
}

fn add(interval: Duration, entry: TimerEntry) -> Timer {
    let mut entry = Some(entry);
    let key = with(|event_loop| {
        let deadline = event_loop
            .time_of_call()
            .saturating_add(nanoseconds(interval));
        let entry = entry.take()?;
        let key = event_loop.timers.borrow_mut().insert(deadline, entry);
        event_loop.changed();
        key
    });
    Timer::new(key.flatten())
}

impl Timer {
    fn new(key: Option<Id>) -> Self {
        Timer {
            key,
            local: PhantomData,
        }
    }
}

/// Runs the due timers, except timers added in the meantime. Returns `true` if there were any.
pub(crate) fn run_due(event_loop: &LoopState, now: u64) -> bool {
    let cut = event_loop.timers.borrow().cut();
    let mut any = false;
    let keep = |entry: &TimerEntry| !matches!(entry, TimerEntry::Once(_));
    loop {
        let due = event_loop.timers.borrow_mut().pop_due(now, cut, keep);
        any |= due.is_some();
        match due {
            Some((_, TimerEntry::Once(callback))) => catch_and_log("timer", callback),
            Some((id, TimerEntry::Periodic(interval, mut callback))) => {
                catch_and_log("timer", || callback(Timer::new(Some(id))));
                let entry = TimerEntry::Periodic(interval, callback);
                let next = now.saturating_add(interval);
                // If the timer was cancelled in the meantime, its callback is dropped after the borrow.
                let cancelled = event_loop.timers.borrow_mut().rearm(id, next, entry);
                if let Err(cancelled) = cancelled {
                    catch_and_log("timer", || drop(cancelled));
                }
            }
            Some((id, TimerEntry::Timeout(callback))) => {
                event_loop.due_timeouts.borrow_mut().push(DueTimeout {
                    id,
                    due: now,
                    callback,
                });
            }
            None => return any,
        }
    }
}

/// Runs the timeouts that were due by `handled_until`, unless they were cancelled in the meantime.
pub(crate) fn run_due_timeouts(event_loop: &LoopState, handled_until: u64) {
    if event_loop.due_timeouts.borrow().is_empty() {
        return;
    }
    let due_timeouts = std::mem::take(&mut *event_loop.due_timeouts.borrow_mut());
    for timeout in due_timeouts {
        if timeout.due > handled_until {
            event_loop.due_timeouts.borrow_mut().push(timeout);
        } else if event_loop.timers.borrow_mut().forget(timeout.id) {
            catch_and_log("timeout", timeout.callback);
        } else {
            catch_and_log("timeout", || drop(timeout.callback));
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("pending", &self.is_pending())
            .finish()
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("timer", &self.timer).finish()
    }
}
