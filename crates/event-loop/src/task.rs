//! Futures on the loop: they need not be `Send`, and run as ticks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;

use crate::driver;
use crate::error::Error;
use crate::event_loop::{EventLoop, Tick, stop, with};
use crate::panic;
use crate::table::Id;

/// Runs a future on this thread's loop; it first runs in the next iteration, and [`run`](crate::run) waits for it.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{run, sleep, spawn};
///
/// spawn(async {
///     sleep(Duration::from_millis(1)).await;
///     println!("later");
/// });
/// run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let Some(remote) = with(|event_loop| Arc::clone(&event_loop.remote)) else {
        return JoinHandle { task: None };
    };
    let schedule = move |task| {
        if !remote.is_local() {
            return remote.schedule(task);
        }
        let mut task = Some(task);
        with(|event_loop| {
            let task = task.take().map(Tick::Task);
            event_loop.ticks.borrow_mut().extend(task);
            event_loop.changed();
        });
        if let Some(task) = task {
            remote.schedule(task);
        }
    };
    let slot = Rc::new(Slot::new(AssertUnwindSafe(future).catch_unwind()));
    let member = Member::new(Rc::downgrade(&slot) as Weak<dyn Abandon>);
    let future = poll_fn(move |context| {
        // It is done when the task is.
        let _member = &member;
        Poll::Ready(match ready!(slot.poll(context)) {
            Some(Ok(value)) => Ok(value),
            Some(Err(payload)) => {
                let message = panic::message(&*payload);
                tracing::error!("a task panicked: {message}");
                Err(Error::TaskPanicked {
                    message: message.into(),
                })
            }
            None => Err(Error::TaskCancelled),
        })
    });
    let (task, handle) = async_task::spawn_local(future, schedule);
    task.schedule();
    JoinHandle {
        task: Some(handle.fallible()),
    }
}

/// A task's future, where its loop can reach it whoever holds the task: wakers may outlive the thread.
struct Slot<F>(RefCell<Option<Pin<Box<F>>>>);

impl<F: Future> Slot<F> {
    fn new(future: F) -> Self {
        Slot(RefCell::new(Some(Box::pin(future))))
    }

    /// Gives `None` when the future was abandoned.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match self.0.borrow_mut().as_mut() {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// Drops the future of a task whose loop ends.
pub(crate) trait Abandon {
    fn abandon(&self);
}

impl<F> Abandon for Slot<F> {
    fn abandon(&self) {
        // It is borrowed while it runs, as when it ends the process.
        let future = self
            .0
            .try_borrow_mut()
            .ok()
            .and_then(|mut slot| slot.take());
        // The task's end must not be a panic: it would end the process.
        if let Err(message) = panic::catch(|| drop(future)) {
            tracing::error!("a task panicked as it was dropped: {message}");
        }
    }
}

impl<F> Drop for Slot<F> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// A task's place on the loop: keeps it running while it exists.
struct Member(Option<Id>);

impl Member {
    fn new(future: Weak<dyn Abandon>) -> Self {
        driver::hold();
        let id = with(|event_loop| event_loop.tasks.borrow_mut().insert(future));
        Member(id.flatten())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        driver::release();
        if let Some(id) = self.0 {
            with(|event_loop| event_loop.tasks.borrow_mut().remove(id));
        }
    }
}

/// Runs the loop until the future is done, and gives what it returned.
///
/// # Errors
/// [`Error::TaskPanicked`] when it panicked, [`Error::TaskCancelled`] when the loop was stopped before it was done,
/// and those of [`run`](crate::run).
///
/// # Examples
/// ```
/// assert_eq!(uptick_event_loop::block_on(async { 6 * 7 })?, 42);
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> Result<T, Error> {
    let waiting = Rc::new(Cell::new(true));
    let stop = StopWaiting(Rc::clone(&waiting));
    let mut task = spawn(async move {
        let _stop = stop;
        future.await
    });
    let result = EventLoop::try_current().and_then(|event_loop| event_loop.run());
    waiting.set(false);
    let result = result.and_then(|()| match (&mut task).now_or_never() {
        Some(result) => result,
        None => Err(Error::TaskCancelled),
    });
    if !task.is_finished() {
        task.cancel();
    }
    result
}

/// Stops the loop that waits for a future, however the future ends.
struct StopWaiting(Rc<Cell<bool>>);

impl Drop for StopWaiting {
    fn drop(&mut self) {
        if self.0.get() {
            stop();
        }
    }
}

/// The result of a spawned future, to be awaited; dropping it lets the task go on.
pub struct JoinHandle<T> {
    task: Option<async_task::FallibleTask<Result<T, Error>>>,
}

impl<T> JoinHandle<T> {
    /// Drops the future at the next opportunity, wherever it is waiting.
    pub fn cancel(mut self) {
        drop(self.task.take());
    }

    /// Whether the task is done.
    pub fn is_finished(&self) -> bool {
        self.task
            .as_ref()
            .is_none_or(async_task::FallibleTask::is_finished)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> Future for JoinHandle<T> {
    /// [`Error::TaskPanicked`] when the future panicked, [`Error::TaskCancelled`] when its loop is gone.
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.task {
            Some(task) => Pin::new(task)
                .poll(context)
                .map(|result| result.unwrap_or(Err(Error::TaskCancelled))),
            None => Poll::Ready(Err(Error::TaskCancelled)),
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("finished", &self.is_finished())
            .finish()
    }
}
