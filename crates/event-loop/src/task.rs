//! Futures on the loop: they need not be `Send`, and run as ticks.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;

use crate::driver;
use crate::error::Error;
use crate::event_loop::{EventLoop, Tick, stop, with};
use crate::panic;

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
    let remote = EventLoop::current().remote();
    let schedule = move |task| {
        if remote.is_local() {
            let mut task = Some(task);
            with(|event_loop| {
                let task = task.take().map(Tick::Task);
                event_loop.ticks.borrow_mut().extend(task);
            });
            if let Some(task) = task {
                remote.schedule(task);
            }
        } else {
            remote.schedule(task);
        }
    };
    let hold = Hold::new();
    let future = AssertUnwindSafe(future).catch_unwind().map(move |result| {
        drop(hold);
        result.map_err(|payload| {
            let message = panic::message(&*payload);
            tracing::error!("a task panicked: {message}");
            Error::TaskPanicked {
                message: message.into(),
            }
        })
    });
    let (task, handle) = async_task::spawn_local(future, schedule);
    task.schedule();
    JoinHandle {
        task: Some(handle.fallible()),
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
    let mut task = spawn(async move {
        // However the future ends, the loop that waits for it has to.
        let _stop = StopOnDrop;
        future.await
    });
    if let Err(error) = EventLoop::current().run() {
        task.cancel();
        return Err(error);
    }
    match (&mut task).now_or_never() {
        Some(result) => result,
        None => {
            task.cancel();
            Err(Error::TaskCancelled)
        }
    }
}

struct StopOnDrop;

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        stop();
    }
}

/// Keeps the loop running while it exists.
struct Hold;

impl Hold {
    fn new() -> Self {
        driver::hold();
        Hold
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        driver::release();
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
