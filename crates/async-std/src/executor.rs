//! This thread's loop on async-std's executor.

use std::pin::pin;

use futures::future::{Either, select};
use uptick_event_loop::{Error, driver};

use crate::run::run;

/// Runs `future` and this thread's loop on async-std's executor, and returns the output of the future.
///
/// The future may use both: sockets and timers of async-std, and streams, servers and timers of Uptick. When it is ready,
/// the loop stops where it is and can be run again.
///
/// # Errors
/// [`Error::TaskCancelled`] if the loop was stopped before the future was ready, and the errors of [`run`].
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let result = uptick_async_std::block_on(async {
///     uptick_event_loop::sleep(Duration::from_millis(1)).await; // a timer of Uptick
///     async_std::task::sleep(Duration::from_millis(1)).await; // a timer of async-std
///     6 * 7
/// })?;
/// assert_eq!(result, 42);
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn block_on<F: Future>(future: F) -> Result<F::Output, Error> {
    async_std::task::block_on(async {
        let _guard = LoopGuard::new();
        let future = pin!(future);
        match select(run(), future).await {
            Either::Left((ended, _)) => Err(ended.err().unwrap_or(Error::TaskCancelled)),
            Either::Right((output, _)) => Ok(output),
        }
    })
}

/// Runs this thread's loop on async-std's executor until nothing is left to wait for, or until
/// [`stop`](uptick_event_loop::stop).
///
/// Local tasks of async-std (`spawn_local`) run between its iterations.
///
/// # Errors
/// The errors of [`run`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::add_timer;
///
/// add_timer(Duration::from_millis(1), || println!("due"));
/// uptick_async_std::run_blocking()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn run_blocking() -> Result<(), Error> {
    async_std::task::block_on(run())
}

/// A guard that keeps the loop running while nothing is left to wait for.
struct LoopGuard;

impl LoopGuard {
    fn new() -> Self {
        driver::hold();
        LoopGuard
    }
}

impl Drop for LoopGuard {
    fn drop(&mut self) {
        driver::release();
    }
}
