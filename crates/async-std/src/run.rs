//! This thread's loop as a future.
//!
//! Cost of an iteration beside the loop's own: one wake-up through async-io's poller, and one system call to ask it for
//! the next. While nothing happens the future is not polled.

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
    /// Whether a future runs this thread's loop.
    static HOSTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs this thread's loop on async-std's executor, until nothing is left to wait for or until
/// [`stop`](uptick_event_loop::stop).
///
/// It is what [`uptick_event_loop::run`] is to a program of its own: between the iterations, other futures of the
/// thread run. The future stays on its thread: it goes to `async_std::task::block_on` or `spawn_local` (a feature of
/// async-std), or is awaited beside others with `join!` and `select!`. Everything on the loop may be used by other futures of the thread too: a
/// timer, a tick or a write wakes it.
///
/// # Errors
/// The future gives [`Error::AlreadyRunning`] inside a callback of the loop, or while another such future of the thread
/// runs it, and [`Error::Poll`] when the poller fails or the system gives no further descriptor.
///
/// # Cancel safety
/// Dropping the future leaves the loop as it is, to be run again.
///
/// # Limits
/// One future runs a thread's loop. One iteration of the loop runs before other futures get their turn. It takes
/// one descriptor more.
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

/// This thread's loop as a future; made by [`run()`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Run {
    /// There from the first poll to the end.
    host: Option<Host>,
}

impl Future for Run {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.host {
            Some(host) => host.poll(context),
            None => match Host::new() {
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
            .field("begun", &self.host.is_some())
            .finish()
    }
}

/// What wakes the future that runs the loop.
struct Host {
    event_loop: EventLoop,
    /// A duplicate of the loop's descriptor, in async-io's poller.
    descriptor: Async<OwnedFd>,
    timer: Timer,
    /// When the timer fires; it may be earlier than needed, as deadlines move on with every activity.
    timer_at: Option<Instant>,
    _lease: Lease,
}

impl Host {
    /// Gives `None` when the loop has nothing to wait for.
    fn new() -> Result<Option<Host>, Error> {
        let event_loop = EventLoop::current();
        if !event_loop.is_alive() {
            return Ok(None);
        }
        let lease = Lease::take()?;
        // One of its own, as a descriptor can be in async-io's poller but once.
        let duplicate = event_loop.descriptor()?.try_clone_to_owned();
        let descriptor = duplicate
            .and_then(Async::new_nonblocking)
            .map_err(|error| failed("adding the loop to the poller of async-io", error))?;
        Ok(Some(Host {
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

    /// Asks to be woken when the time is over.
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

    /// Asks to be woken when the loop has I/O to do.
    fn poll_descriptor(&self, context: &mut Context<'_>) -> io::Result<()> {
        // What is ready was so before the iteration. Asked again, async-io looks anew, and wakes at once if the loop
        // has left something.
        while let Poll::Ready(result) = self.descriptor.poll_readable(context) {
            result?;
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.event_loop.set_waker(None);
    }
}

/// The right to run this thread's loop.
struct Lease;

impl Lease {
    fn take() -> Result<Lease, Error> {
        if HOSTED.replace(true) {
            return Err(Error::AlreadyRunning);
        }
        Ok(Lease)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        HOSTED.set(false);
    }
}

fn failed(what: &'static str, error: io::Error) -> Error {
    Error::Poll {
        what,
        source: Arc::new(error),
    }
}
