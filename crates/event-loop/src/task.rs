//! Local tasks: futures that run as ticks of the loop and need not be `Send`.

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

/// Spawns a future on this thread's loop. It first runs in the next iteration, and [`run`](crate::run) waits for it.
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
    let slot = Rc::new(TaskFuture::new(AssertUnwindSafe(future).catch_unwind()));
    let registration = TaskRegistration::new(Rc::downgrade(&slot) as Weak<dyn AbandonFuture>);
    let future = poll_fn(move |context| {
        // It lives as long as the task.
        let _registration = &registration;
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

/// A task's future, which the loop can drop even if wakers on other threads keep the task alive.
struct TaskFuture<F>(RefCell<Option<Pin<Box<F>>>>);

impl<F: Future> TaskFuture<F> {
    fn new(future: F) -> Self {
        TaskFuture(RefCell::new(Some(Box::pin(future))))
    }

    /// Polls the future. Returns `None` if it was dropped with its loop.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match self.0.borrow_mut().as_mut() {
            Some(future) => future.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

/// Access to the future of a task, to drop it when its loop ends.
pub(crate) trait AbandonFuture {
    fn abandon(&self);
}

impl<F> AbandonFuture for TaskFuture<F> {
    fn abandon(&self) {
        // The future is borrowed while it is polled, for example when it ends the process.
        let future = self
            .0
            .try_borrow_mut()
            .ok()
            .and_then(|mut slot| slot.take());
        // A panic while the task is dropped would end the process.
        if let Err(message) = panic::catch(|| drop(future)) {
            tracing::error!("a task panicked as it was dropped: {message}");
        }
    }
}

impl<F> Drop for TaskFuture<F> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The entry of a task on its loop. It keeps the loop running while it exists.
struct TaskRegistration(Option<Id>);

impl TaskRegistration {
    fn new(future: Weak<dyn AbandonFuture>) -> Self {
        driver::hold();
        let id = with(|event_loop| event_loop.tasks.borrow_mut().insert(future));
        TaskRegistration(id.flatten())
    }
}

impl Drop for TaskRegistration {
    fn drop(&mut self) {
        driver::release();
        if let Some(id) = self.0 {
            with(|event_loop| event_loop.tasks.borrow_mut().remove(id));
        }
    }
}

/// Runs the loop until the future completes, and returns its output.
///
/// # Errors
/// [`Error::TaskPanicked`] if the future panicked, [`Error::TaskCancelled`] if the loop was stopped before it completed,
/// and the errors of [`run`](crate::run).
///
/// # Examples
/// ```
/// assert_eq!(uptick_event_loop::block_on(async { 6 * 7 })?, 42);
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> Result<T, Error> {
    let waiting = Rc::new(Cell::new(true));
    let stop = StopOnDrop(Rc::clone(&waiting));
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

/// A guard inside the future of [`block_on`] that stops the loop when the future completes or is dropped.
struct StopOnDrop(Rc<Cell<bool>>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if self.0.get() {
            stop();
        }
    }
}

/// A future for the output of a spawned task. The task continues if the handle is dropped.
pub struct JoinHandle<T> {
    task: Option<async_task::FallibleTask<Result<T, Error>>>,
}

impl<T> JoinHandle<T> {
    /// Cancels the task: its future is dropped at the next opportunity.
    pub fn cancel(mut self) {
        drop(self.task.take());
    }

    /// Returns `true` if the task has completed.
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
    /// [`Error::TaskPanicked`] if the future panicked, [`Error::TaskCancelled`] if its loop is gone.
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
