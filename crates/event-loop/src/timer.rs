//! Timers: callbacks after a time, once or again and again.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::event_loop::{Inner, nanoseconds, with};
use crate::local::UseRemoteOrLoopHandle;
use crate::panic::contain;
use crate::table::Id;

/// A timer of this thread's loop; a handle whose timer has fired or was cancelled does nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    key: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

pub(crate) enum TimerEntry {
    Once(Box<dyn FnOnce()>),
    Periodic(u64, Box<dyn FnMut(Timer)>),
    Timeout(Box<dyn FnOnce()>),
}

/// A timeout that is due: it stays in the table of timers, as one that runs, until it expires.
pub(crate) struct Expiring {
    id: Id,
    due: u64,
    callback: Box<dyn FnOnce()>,
}

impl Timer {
    /// Cancels the timer; nothing happens when it has fired or was cancelled.
    pub fn cancel(self) {
        // The callback is dropped after the borrow: what it captured may use the loop.
        let entry = self.key.and_then(|key| {
            with(|event_loop| {
                let entry = event_loop.timers.borrow_mut().remove(key);
                event_loop.changed();
                entry
            })
        });
        drop(entry);
    }

    /// Whether the timer is still to fire.
    pub fn is_pending(self) -> bool {
        let pending = |key| with(|event_loop| event_loop.timers.borrow().contains(key));
        self.key.and_then(pending).unwrap_or(false)
    }
}

/// Calls `callback` once, after `interval`.
///
/// Timers fire in the order of their deadlines, equal ones in the order in which they were added. The interval counts
/// from the call, whatever ran before it in the same iteration, and a timer never fires before it is over. A timer of
/// zero added by a tick fires in the same iteration, one added by a timer in the next. A panic in the callback is logged
/// and the loop goes on.
///
/// # Limits
/// 2³² pending timers of a loop; one more is dropped, and its handle is that of a timer that has fired.
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
/// The first interval counts from the call. The next time is counted from the iteration in which the callback ran, so that a loop that was held up does not
/// catch up in a burst. An interval under 1 ms counts as 1 ms. A panic in the callback is logged, and the timer stays
/// armed: a callback that is to cancel it does so before anything that may panic.
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

/// Cancels a timer; the same as [`Timer::cancel`].
pub fn cancel_timer(timer: Timer) {
    timer.cancel();
}

/// Waits for a time, which counts from the call.
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

/// Calls `callback` once, after `interval`, as [`add_timer`], but in the place of [deadlines](super::driver::arm_deadline).
pub(crate) fn add_timeout<R>(interval: Duration, callback: impl FnOnce() -> R + 'static) -> Timer {
    let callback = Box::new(move || {
        callback();
    });
    add(interval, TimerEntry::Timeout(callback))
}

/// Waits as [`sleep`], with [`add_timeout`].
pub(crate) fn timeout(time: Duration) -> Sleep {
    Sleep::new(|sender| add_timeout(time, move || sender.send(())))
}

/// A wait for a time; made by [`sleep`].
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

/// Runs the timers that are due, except those that are added meanwhile, and says whether there were any.
pub(crate) fn run_due(event_loop: &Inner, now: u64) -> bool {
    let cut = event_loop.timers.borrow().cut();
    let mut any = false;
    let keep = |entry: &TimerEntry| !matches!(entry, TimerEntry::Once(_));
    loop {
        let due = event_loop.timers.borrow_mut().pop_due(now, cut, keep);
        any |= due.is_some();
        match due {
            Some((_, TimerEntry::Once(callback))) => contain("timer", callback),
            Some((id, TimerEntry::Periodic(interval, mut callback))) => {
                contain("timer", || callback(Timer::new(Some(id))));
                let entry = TimerEntry::Periodic(interval, callback);
                let next = now.saturating_add(interval);
                // What a timer captured that was cancelled meanwhile is dropped after the borrow.
                let cancelled = event_loop.timers.borrow_mut().rearm(id, next, entry);
                if let Err(cancelled) = cancelled {
                    contain("timer", || drop(cancelled));
                }
            }
            Some((id, TimerEntry::Timeout(callback))) => {
                event_loop.expiring.borrow_mut().push(Expiring {
                    id,
                    due: now,
                    callback,
                });
            }
            None => return any,
        }
    }
}

/// Runs the timeouts that were due by the time `seen`, unless they were cancelled since.
pub(crate) fn run_expiring(event_loop: &Inner, seen: u64) {
    if event_loop.expiring.borrow().is_empty() {
        return;
    }
    let expiring = std::mem::take(&mut *event_loop.expiring.borrow_mut());
    for timeout in expiring {
        if timeout.due > seen {
            event_loop.expiring.borrow_mut().push(timeout);
        } else if event_loop.timers.borrow_mut().forget(timeout.id) {
            contain("timeout", timeout.callback);
        } else {
            contain("timeout", || drop(timeout.callback));
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
