//! Access to a loop from other threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use async_task::Runnable;

use crate::error::Error;
use crate::poller::{NoWake, Wake};

/// The maximum number of posted callbacks that a loop queues: 65,536.
pub const POST_LIMIT: usize = 65_536;

/// A handle to a loop for use on other threads.
///
/// It does not keep the loop running: [`run`](crate::run) returns if no other work is pending. See [`keep_alive`](crate::keep_alive).
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
    remote: Arc<SharedLoopState>,
}

type Call = Box<dyn FnOnce() + Send>;

/// The state of a loop that is shared with other threads.
pub(crate) struct SharedLoopState {
    inbox: Mutex<LoopInbox>,
    /// Set when the loop was notified of new messages, so that one wake-up serves several.
    notified: AtomicBool,
    wake: Arc<dyn Wake>,
    thread: ThreadId,
}

struct LoopInbox {
    calls: VecDeque<Call>,
    tasks: VecDeque<Runnable>,
    stop: bool,
    closed: bool,
}

/// Callbacks posted and tasks woken by other threads, not yet run.
#[derive(Default)]
pub(crate) struct Incoming {
    pub(crate) calls: VecDeque<Call>,
    pub(crate) tasks: VecDeque<Runnable>,
    pub(crate) stop: bool,
}

impl LoopHandle {
    pub(crate) fn new(remote: Arc<SharedLoopState>) -> Self {
        LoopHandle { remote }
    }

    /// Queues `f` to be called on the loop's own thread, as a tick.
    ///
    /// # Errors
    /// [`Error::LoopGone`] if the loop's thread has ended, [`Error::PostQueueFull`] if the queue is full. `f` is
    /// dropped in both cases.
    ///
    /// # Limits
    /// [`POST_LIMIT`] callbacks are queued.
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

    /// Stops the loop: it ends its current iteration and returns from `run`. Does nothing if the loop is not running.
    ///
    /// To stop a loop that may not be running yet, post the stop: `handle.post(stop)`.
    pub fn stop(&self) {
        self.remote.inbox().stop = true;
        self.remote.notify();
    }
}

impl SharedLoopState {
    pub(crate) fn new(wake: Arc<dyn Wake>) -> Self {
        SharedLoopState {
            inbox: Mutex::new(LoopInbox {
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

    /// Creates the shared state of a loop that is gone.
    pub(crate) fn gone() -> Self {
        let remote = SharedLoopState::new(Arc::new(NoWake));
        remote.inbox().closed = true;
        remote
    }

    pub(crate) fn is_local(&self) -> bool {
        thread::current().id() == self.thread
    }

    /// Queues a task that was woken on another thread.
    pub(crate) fn schedule(&self, task: Runnable) {
        let mut inbox = self.inbox();
        if inbox.closed {
            drop(inbox);
            if !self.is_local() {
                // A local task may be dropped only on its own thread, which has ended. Its future is already gone.
                std::mem::forget(task);
            }
            return;
        }
        inbox.tasks.push_back(task);
        drop(inbox);
        self.notify();
    }

    #[inline]
    pub(crate) fn has_incoming(&self) -> bool {
        self.notified.load(Ordering::Acquire)
    }

    pub(crate) fn take_incoming(&self) -> Incoming {
        self.notified.store(false, Ordering::Release);
        let mut inbox = self.inbox();
        Incoming {
            calls: std::mem::take(&mut inbox.calls),
            tasks: std::mem::take(&mut inbox.tasks),
            stop: std::mem::take(&mut inbox.stop),
        }
    }

    /// Discards a [`stop`](LoopHandle::stop) that was requested while the loop was not running.
    pub(crate) fn forget_stop(&self) {
        if self.has_incoming() {
            self.inbox().stop = false;
        }
    }

    pub(crate) fn close(&self) -> Incoming {
        self.inbox().closed = true;
        self.take_incoming()
    }

    fn notify(&self) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.wake.wake();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, LoopInbox> {
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
