//! The only way into a loop from another thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use async_task::Runnable;

use crate::error::Error;
use crate::poller::{NoWake, Wake};

/// How many calls may wait to be taken in by a loop: 65,536.
pub const POST_LIMIT: usize = 65_536;

/// A handle to a loop that may go to other threads.
///
/// It does not keep the loop running: a loop that has nothing else to wait for ends. See [`keep_alive`](crate::keep_alive).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{add_timer, cancel_timer, handle, run, stop};
///
/// add_timer(Duration::from_secs(60), || ()); // something to wait for
/// let handle = handle();
/// std::thread::spawn(move || handle.post(|| {
///     println!("on the loop's thread");
///     stop();
/// }));
/// run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct LoopHandle {
    remote: Arc<Remote>,
}

type Call = Box<dyn FnOnce() + Send>;

/// What other threads see of a loop.
pub(crate) struct Remote {
    inbox: Mutex<Inbox>,
    /// Set with the first thing put into an empty inbox, so that one wake-up serves all.
    notified: AtomicBool,
    wake: Arc<dyn Wake>,
    thread: ThreadId,
}

struct Inbox {
    calls: VecDeque<Call>,
    tasks: VecDeque<Runnable>,
    stop: bool,
    closed: bool,
}

/// What came from other threads since the last look.
#[derive(Default)]
pub(crate) struct Arrivals {
    pub(crate) calls: VecDeque<Call>,
    pub(crate) tasks: VecDeque<Runnable>,
    pub(crate) stop: bool,
}

impl LoopHandle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        LoopHandle { remote }
    }

    /// Has the loop call `f` on its own thread, as a tick.
    ///
    /// # Errors
    /// [`Error::LoopGone`] when the loop's thread has ended, [`Error::PostQueueFull`] when it is too far behind; `f` is
    /// dropped then.
    ///
    /// # Limits
    /// [`POST_LIMIT`] calls wait.
    pub fn post(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let mut inbox = self.remote.inbox();
        if inbox.closed {
            return Err(Error::LoopGone);
        }
        if inbox.calls.len() >= POST_LIMIT {
            return Err(Error::PostQueueFull { limit: POST_LIMIT });
        }
        inbox.calls.push_back(Box::new(f));
        drop(inbox);
        self.remote.notify();
        Ok(())
    }

    /// Has the loop end its current iteration and return from `run`; nothing happens when it is not running.
    ///
    /// To stop a loop that may not have begun to run, post the stop: `handle.post(stop)`.
    pub fn stop(&self) {
        self.remote.inbox().stop = true;
        self.remote.notify();
    }
}

impl Remote {
    pub(crate) fn new(wake: Arc<dyn Wake>) -> Self {
        Remote {
            inbox: Mutex::new(Inbox {
                calls: VecDeque::new(),
                tasks: VecDeque::new(),
                stop: false,
                closed: false,
            }),
            notified: AtomicBool::new(false),
            wake,
            thread: thread::current().id(),
        }
    }

    /// What there is to see when the loop is gone.
    pub(crate) fn gone() -> Self {
        let remote = Remote::new(Arc::new(NoWake));
        remote.inbox().closed = true;
        remote
    }

    pub(crate) fn is_local(&self) -> bool {
        thread::current().id() == self.thread
    }

    /// Takes in a task that was woken on another thread.
    pub(crate) fn schedule(&self, task: Runnable) {
        let mut inbox = self.inbox();
        if inbox.closed {
            drop(inbox);
            if !self.is_local() {
                // A local task may be dropped on its own thread only, which has ended. Its future is gone already.
                std::mem::forget(task);
            }
            return;
        }
        inbox.tasks.push_back(task);
        drop(inbox);
        self.notify();
    }

    #[inline]
    pub(crate) fn has_arrivals(&self) -> bool {
        self.notified.load(Ordering::Acquire)
    }

    pub(crate) fn take_arrivals(&self) -> Arrivals {
        self.notified.store(false, Ordering::Release);
        let mut inbox = self.inbox();
        Arrivals {
            calls: std::mem::take(&mut inbox.calls),
            tasks: std::mem::take(&mut inbox.tasks),
            stop: std::mem::take(&mut inbox.stop),
        }
    }

    /// Forgets a [`stop`](LoopHandle::stop) that came while the loop did not run.
    pub(crate) fn forget_stop(&self) {
        if self.has_arrivals() {
            self.inbox().stop = false;
        }
    }

    pub(crate) fn close(&self) -> Arrivals {
        self.inbox().closed = true;
        self.take_arrivals()
    }

    fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("thread", &self.remote.thread)
            .finish_non_exhaustive()
    }
}
