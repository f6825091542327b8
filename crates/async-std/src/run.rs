//! This thread's loop as a future.
//!
//! Besides the cost of the loop itself, an iteration costs one wake-up through async-io's poller, and one system call to
//! re-arm it. While nothing happens, the future is not polled.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use uptick_event_loop::{Error, EventLoop};

thread_local! {
    /// `true` while a future runs this thread's loop.
    static IS_HOSTED: Cell<bool> = const { Cell::new(false) };
}

/// Returns a future that runs this thread's loop on async-std's executor, until nothing is left to wait for or until
/// [`stop`](uptick_event_loop::stop).
///
/// It is the counterpart of [`uptick_event_loop::run`] for async-std programs: between the iterations, other futures of the
/// thread run. The future is not `Send`: pass it to `async_std::task::block_on` or `spawn_local` (a feature of async-std),
/// or await it with others in `join!` and `select!`. Other futures of the thread may use everything on the loop too: a
/// timer, a tick or a write wakes it.
///
/// # Errors
/// The future resolves to [`Error::AlreadyRunning`] inside a callback of the loop, or while another such future of the
/// thread runs it, and to [`Error::Poll`] if the poller fails or no more descriptors are available.
///
/// # Cancel safety
/// Dropping the future leaves the loop as it is; it can be run again.
///
/// # Limits
/// One future runs a thread's loop. Each poll runs one iteration of the loop before other futures run. The future uses one
/// additional descriptor.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::add_timer;
///
/// async_std::task::block_on(async {
///     add_timer(Duration::from_millis(1), || println!("due"));
///     uptick_async_std::run().await
/// })?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn run() -> Run {
    Run { host: None }
}

/// A future that runs this thread's loop; returned by [`run()`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Run {
    /// Present from the first poll until the loop ends.
    host: Option<LoopHost>,
}

impl Future for Run {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.host {
            Some(host) => host.poll(context),
            None => match LoopHost::new() {
                Ok(Some(host)) => self.host.insert(host).poll(context),
                Ok(None) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
            },
        };
        if result.is_ready() {
            self.host = None;
        }
        result
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("started", &self.host.is_some())
            .finish()
    }
}

/// The event loop with the wake-up sources of its future.
struct LoopHost {
    event_loop: EventLoop,
    /// A duplicate of the loop's descriptor, in async-io's poller.
    descriptor: Async<OwnedFd>,
    timer: Timer,
    /// Expiry of the timer; it may be earlier than needed, as deadlines are postponed with every activity.
    timer_at: Option<Instant>,
    _lease: LoopLease,
}

impl LoopHost {
    /// Creates a host; returns `None` if the loop has nothing to wait for.
    fn new() -> Result<Option<LoopHost>, Error> {
        let event_loop = EventLoop::current();
        if !event_loop.is_alive() {
            return Ok(None);
        }
        let lease = LoopLease::take()?;
        // A duplicate, as a descriptor can be registered in async-io's poller only once.
        let duplicate = event_loop.descriptor()?.try_clone_to_owned();
        let descriptor = duplicate
            .and_then(Async::new_nonblocking)
            .map_err(|error| failed("adding the loop to the poller of async-io", error))?;
        Ok(Some(LoopHost {
            event_loop,
            descriptor,
            timer: Timer::never(),
            timer_at: None,
            _lease: lease,
        }))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if !self.event_loop.run_once(Some(Duration::ZERO))? {
            return Poll::Ready(Ok(()));
        }
        let timeout = self.event_loop.timeout();
        if timeout == Some(Duration::ZERO) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.event_loop.set_waker(Some(context.waker().clone()));
        self.poll_timer(timeout, context);
        self.poll_descriptor(context)
            .map_err(|error| failed("waiting for the loop with async-io", error))?;
        Poll::Pending
    }

    /// Registers for a wake-up after `timeout`.
    fn poll_timer(&mut self, timeout: Option<Duration>, context: &mut Context<'_>) {
        let Some(at) = timeout.and_then(|time| Instant::now().checked_add(time)) else {
            if self.timer_at.take().is_some() {
                self.timer = Timer::never();
            }
            return;
        };
        if self.timer_at.is_none_or(|timer_at| timer_at > at) {
            self.timer.set_at(at);
            self.timer_at = Some(at);
        }
        if Pin::new(&mut self.timer).poll(context).is_ready() {
            self.timer_at = None;
            context.waker().wake_by_ref();
        }
    }

    /// Registers for a wake-up when the loop has I/O to do.
    fn poll_descriptor(&self, context: &mut Context<'_>) -> io::Result<()> {
        // Readiness reported here dates from before the iteration. Polled again, async-io checks the descriptor and wakes
        // the task at once if the loop has left events.
        while let Poll::Ready(result) = self.descriptor.poll_readable(context) {
            result?;
        }
        Ok(())
    }
}

impl Drop for LoopHost {
    fn drop(&mut self) {
        self.event_loop.set_waker(None);
    }
}

/// A guard for the exclusive right to run this thread's loop.
struct LoopLease;

impl LoopLease {
    fn take() -> Result<LoopLease, Error> {
        if IS_HOSTED.replace(true) {
            return Err(Error::AlreadyRunning);
        }
        Ok(LoopLease)
    }
}

impl Drop for LoopLease {
    fn drop(&mut self) {
        IS_HOSTED.set(false);
    }
}

fn failed(operation: &'static str, error: io::Error) -> Error {
    Error::Poll {
        operation,
        source: Arc::new(error),
    }
}
