//! The event loop of a thread: its state, and the functions to run it.

mod iteration;
mod time;

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use async_task::Runnable;

use crate::clock::{Clock, SystemClock};
use crate::deadlines::Wheel;
use crate::driver::{DeadlineId, Driver};
use crate::error::Error;
use crate::handle::{LoopHandle, SharedLoopState};
use crate::histogram::Histogram;
use crate::lag_history::LagHistory;
use crate::panic::catch_and_log;
use crate::poller::{MioPoller, Poller, Readiness};
use crate::table::Table;
use crate::task::AbandonFuture;
use crate::timer::{DueTimeout, TimerEntry};
use crate::timers::Timers;
use crate::token::{DriverId, Token};
pub(crate) use time::nanoseconds;

thread_local! {
    static CURRENT: OnceCell<Rc<LoopState>> = const { OnceCell::new() };
}

/// A callback or a task that runs in the next iteration.
pub(crate) enum Tick {
    Call(Box<dyn FnOnce()>),
    Task(Runnable),
}

/// The state of a thread's loop.
pub(crate) struct LoopState {
    poller: RefCell<Box<dyn Poller>>,
    clock: Box<dyn Clock>,
    start: Instant,
    /// The loop's time: the clock as last read, in nanoseconds since the loop was created.
    pub(crate) elapsed: Cell<u64>,
    /// The time up to which readiness was polled and handled. Timeouts and deadlines after this time have not expired.
    handled_until: Cell<u64>,
    /// The number of consecutive waits that may have left readiness unreported.
    full_waits: Cell<u32>,
    pub(crate) lags: RefCell<LagHistory>,
    pub(crate) ticks: RefCell<VecDeque<Tick>>,
    pub(crate) timers: RefCell<Timers<TimerEntry>>,
    /// Due timeouts that wait until readiness was polled.
    pub(crate) due_timeouts: RefCell<Vec<DueTimeout>>,
    deadlines: RefCell<Wheel>,
    drivers: RefCell<Vec<&'static dyn Driver>>,
    events: RefCell<Vec<(Token, Readiness)>>,
    /// Tokens for which the driver is called at the end of the iteration.
    pub(crate) flush: RefCell<Vec<Token>>,
    /// Tokens for which the driver is called in the next iteration, as if the poller had reported them.
    pub(crate) ready: RefCell<Vec<(Token, Readiness)>>,
    /// Tokens of closed objects whose slots are released after the iteration.
    pub(crate) reap: RefCell<Vec<Token>>,
    /// The number of holds on the loop: work that `run` waits for besides ticks and timers.
    pub(crate) holds: Cell<usize>,
    pub(crate) jobs: Cell<usize>,
    /// The futures of all tasks. They are dropped when the thread ends.
    pub(crate) tasks: RefCell<Table<Weak<dyn AbandonFuture>>>,
    /// The number of waits for events that have begun, and of returns from the loop.
    pub(crate) iterations: Cell<u64>,
    stopping: Cell<bool>,
    running: Cell<bool>,
    /// The waker of the program that embeds the loop, woken when something is added to the loop between iterations.
    host_waker: Cell<Option<Waker>>,
    pub(crate) remote: Arc<SharedLoopState>,
    descriptor: OnceCell<OwnedFd>,
}

/// Calls `f` with this thread's loop, which is created on first use. Returns `None` while the thread is torn down.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&LoopState) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| f(current.get_or_init(|| Rc::new(LoopState::with_system_poller()))))
        .ok()
}

/// This thread's event loop, for programs that embed it. All other operations are functions of this crate.
///
/// Each thread has one loop, created on first use.
///
/// # Examples
/// Inside another loop: wait until the descriptor is readable or the timeout has elapsed, then run one iteration.
/// ```
/// use std::time::Duration;
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use uptick_event_loop::{EventLoop, add_timer};
///
/// let event_loop = EventLoop::current();
/// add_timer(Duration::from_millis(1), || println!("due"));
/// while event_loop.is_alive() {
///     let timeout = event_loop.timeout().map(|time| Timespec::try_from(time)).transpose()?;
///     poll(&mut [PollFd::new(&event_loop.descriptor()?, PollFlags::IN)], timeout.as_ref())?;
///     event_loop.run_once(Some(Duration::ZERO))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventLoop {
    inner: Rc<LoopState>,
}

impl EventLoop {
    /// Returns this thread's loop.
    ///
    /// # Panics
    /// Panics in a destructor of a thread-local value if the ending thread's loop is already gone.
    pub fn current() -> EventLoop {
        let inner = CURRENT.with(|current| {
            Rc::clone(current.get_or_init(|| Rc::new(LoopState::with_system_poller())))
        });
        EventLoop { inner }
    }

    pub(crate) fn try_current() -> Result<EventLoop, Error> {
        CURRENT
            .try_with(|current| {
                let inner = current.get_or_init(|| Rc::new(LoopState::with_system_poller()));
                EventLoop {
                    inner: Rc::clone(inner),
                }
            })
            .map_err(|_| Error::LoopGone)
    }

    /// Installs a loop with a custom poller and clock on this thread. It is mostly for tests.
    ///
    /// # Errors
    /// [`Error::AlreadyInstalled`] if the thread has a loop.
    pub fn install(
        poller: impl Poller + 'static,
        clock: impl Clock + 'static,
    ) -> Result<EventLoop, Error> {
        let inner = Rc::new(LoopState::new(Box::new(poller), Box::new(clock)));
        CURRENT
            .with(|current| current.set(Rc::clone(&inner)))
            .map_err(|_| Error::AlreadyInstalled)?;
        Ok(EventLoop { inner })
    }

    /// Runs one iteration that waits for at most `timeout`; with `None` it waits until an event occurs.
    /// Returns `true` if work is still pending and [`stop`] was not called.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] inside a callback of the loop, [`Error::Poll`] if the poller fails.
    pub fn run_once(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let _running = self.inner.enter()?;
        let result = self.inner.iterate(timeout);
        self.inner.record_lag();
        result?;
        let stopped = self.inner.stopping.replace(false);
        Ok(!stopped && self.inner.is_alive())
    }

    /// Runs until no work is pending, or until [`stop`].
    ///
    /// # Errors
    /// The same as [`run_once`](EventLoop::run_once).
    pub fn run(&self) -> Result<(), Error> {
        let _running = self.inner.enter()?;
        self.inner.remote.discard_stop();
        while self.inner.is_alive() {
            self.inner.iterate(None)?;
            if self.inner.stopping.replace(false) {
                break;
            }
        }
        self.inner.record_lag();
        Ok(())
    }

    /// Returns `true` if any work is pending.
    pub fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    /// Returns the time for which the next iteration would wait: zero if it would not wait, or if no work is pending;
    /// `None` if it would wait without a limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.read_clock();
        self.inner.timeout(None)
    }

    /// Sets the waker that is woken once when code of this thread adds something to the loop between two iterations: a tick, a
    /// timer, a write, a task woken by another executor. The host then calls [`timeout`](EventLoop::timeout) again.
    ///
    /// It replaces the previous waker; `None` removes it. Posts from other threads make the
    /// [`descriptor`](EventLoop::descriptor) readable instead. Default: none.
    pub fn set_waker(&self, waker: Option<Waker>) {
        // The previous waker is dropped after the change: it may use the loop.
        drop(self.inner.host_waker.replace(waker));
    }

    /// Returns a descriptor that becomes readable when the loop has I/O to handle, for the poller of a host.
    ///
    /// Timers, and work added between two iterations, do not make it readable: wait no longer than
    /// [`timeout`](EventLoop::timeout), and see [`set_waker`](EventLoop::set_waker).
    ///
    /// # Errors
    /// [`Error::Poll`] if the poller has no descriptor or the system has none left.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>, Error> {
        if let Some(fd) = self.inner.descriptor.get() {
            return Ok(fd.as_fd());
        }
        let duplicate = match self.inner.poller().descriptor() {
            Some(fd) => fd.try_clone_to_owned(),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        let fd = duplicate.map_err(|error| Error::poll("sharing the poller", error))?;
        Ok(self.inner.descriptor.get_or_init(|| fd).as_fd())
    }
}

/// Runs this thread's loop until no work is pending, or until [`stop`].
///
/// Pending work is: ticks, timers, watches, tasks, jobs, and the objects of other crates, such as servers and
/// connections. Signal listeners and [`LoopHandle`]s do not count; a program that has nothing else uses [`keep_alive`](crate::keep_alive()).
/// It may be called again after it has returned.
///
/// # Errors
/// [`Error::AlreadyRunning`] inside a callback of the loop, [`Error::Poll`] if the poller fails, [`Error::LoopGone`]
/// while the thread is torn down.
pub fn run() -> Result<(), Error> {
    EventLoop::try_current()?.run()
}

/// Stops the running loop: it finishes its current iteration and returns from [`run`]. Does nothing if the loop is not running.
pub fn stop() {
    with(|event_loop| event_loop.stopping.set(event_loop.running.get()));
}

/// Returns the loop's time, as read at the beginning of this iteration's events. It is cheap and the same for all callbacks.
pub fn now() -> Instant {
    with(|event_loop| {
        if !event_loop.running.get() {
            event_loop.read_clock();
        }
        // A clock at the end of its range must not overflow the instant.
        let elapsed = Duration::from_nanos(event_loop.elapsed.get());
        let start = event_loop.start;
        start.checked_add(elapsed).unwrap_or(start)
    })
    .unwrap_or_else(Instant::now)
}

/// Returns a histogram of the event loop lag: the time for which callbacks kept this thread's loop busy between two waits for events, which
/// is the longest delay of other events and timers.
///
/// It is measured only while timers or deadlines are pending, which connections usually have. It reads no additional clock: if no timer is
/// pending, the times are from the system's coarse clock, which has a resolution of 1 ms to 10 ms.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{add_timer, lag, run};
///
/// add_timer(Duration::from_millis(1), || {
///     add_timer(Duration::from_millis(1), || println!("this one waits"));
///     std::thread::sleep(Duration::from_millis(30));
/// });
/// run()?;
/// assert!(lag().sum() >= Duration::from_millis(30));
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn lag() -> Histogram {
    with(|event_loop| event_loop.lags.borrow().histogram()).unwrap_or_default()
}

/// Calls `callback` in the next iteration, before timers and I/O, in the order of the calls.
///
/// An iteration runs only the ticks that were queued before it began.
///
/// # Examples
/// ```
/// uptick_event_loop::future_tick(|| println!("b"));
/// println!("a");
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn future_tick(callback: impl FnOnce() + 'static) {
    let tick = Tick::Call(Box::new(callback));
    let refused = match queue_tick(tick) {
        Ok(()) => return,
        Err(tick) => tick,
    };
    drop(refused);
}

fn queue_tick(tick: Tick) -> Result<(), Tick> {
    let mut tick = Some(tick);
    with(|event_loop| {
        event_loop.ticks.borrow_mut().extend(tick.take());
        event_loop.changed();
    });
    tick.map_or(Ok(()), Err)
}

/// Returns a handle to this thread's loop for use on other threads.
pub fn handle() -> LoopHandle {
    let remote = with(|event_loop| Arc::clone(&event_loop.remote));
    LoopHandle::new(remote.unwrap_or_else(|| Arc::new(SharedLoopState::gone())))
}

/// A guard that resets the flags on drop, including after an error or a panic.
struct RunGuard<'a>(&'a LoopState);

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        let RunGuard(event_loop) = self;
        event_loop.running.set(false);
        event_loop.stopping.set(false);
        // Any time may pass before the next iteration.
        event_loop.count_iteration();
    }
}

impl LoopState {
    fn with_system_poller() -> Self {
        match MioPoller::new() {
            Ok(poller) => Self::new(Box::new(poller), Box::new(SystemClock::new())),
            Err(error) => {
                tracing::error!("opening the poller failed: {error}");
                Self::new(
                    Box::new(crate::poller::BrokenPoller::new(error)),
                    Box::new(SystemClock::new()),
                )
            }
        }
    }

    fn new(poller: Box<dyn Poller>, clock: Box<dyn Clock>) -> Self {
        let remote = Arc::new(SharedLoopState::new(poller.waker()));
        let elapsed = nanoseconds(clock.elapsed());
        LoopState {
            poller: RefCell::new(poller),
            start: Instant::now(),
            clock,
            elapsed: Cell::new(elapsed),
            handled_until: Cell::new(elapsed),
            full_waits: Cell::new(0),
            lags: RefCell::new(LagHistory::new()),
            ticks: RefCell::default(),
            timers: RefCell::new(Timers::new()),
            due_timeouts: RefCell::default(),
            deadlines: RefCell::new(Wheel::new()),
            drivers: RefCell::default(),
            events: RefCell::default(),
            flush: RefCell::default(),
            ready: RefCell::default(),
            reap: RefCell::default(),
            holds: Cell::new(0),
            jobs: Cell::new(0),
            tasks: RefCell::default(),
            iterations: Cell::new(0),
            stopping: Cell::new(false),
            running: Cell::new(false),
            host_waker: Cell::new(None),
            remote,
            descriptor: OnceCell::new(),
        }
    }

    pub(crate) fn poller(&self) -> RefMut<'_, Box<dyn Poller>> {
        self.poller.borrow_mut()
    }

    pub(crate) fn register_driver(&self, driver: &'static dyn Driver) -> DriverId {
        let mut drivers = self.drivers.borrow_mut();
        let id = DriverId::from_index(u8::try_from(drivers.len()).unwrap_or(u8::MAX));
        if id == DriverId::NONE {
            tracing::error!(
                "registering a driver failed: the loop already has {}",
                drivers.len()
            );
        } else {
            drivers.push(driver);
        }
        id
    }

    pub(crate) fn arm_deadline(&self, token: Token, at: Duration) -> Option<DeadlineId> {
        let id = self
            .deadlines
            .borrow_mut()
            .arm(token.to_u64(), nanoseconds(at));
        self.changed();
        id.and_then(DeadlineId::new)
    }

    pub(crate) fn disarm_deadline(&self, id: DeadlineId) {
        self.deadlines.borrow_mut().disarm(id.index());
    }

    /// Wakes the host of the loop, if any, after a change of the pending work between two iterations.
    #[inline]
    pub(crate) fn changed(&self) {
        if !self.running.get() {
            self.wake_host();
        }
    }

    #[cold]
    fn wake_host(&self) {
        if let Some(host) = self.host_waker.take() {
            host.wake();
        }
    }

    fn enter(&self) -> Result<RunGuard<'_>, Error> {
        if self.running.replace(true) {
            return Err(Error::AlreadyRunning);
        }
        self.read_clock();
        Ok(RunGuard(self))
    }

    fn count_iteration(&self) {
        self.iterations.set(self.iterations.get().wrapping_add(1));
    }

    fn is_alive(&self) -> bool {
        self.holds.get() > 0
            || !self.timers.borrow().is_empty()
            || self.has_work()
            || self.remote.has_incoming()
    }

    /// Returns `true` if there is work that needs no wait.
    fn has_work(&self) -> bool {
        !self.ticks.borrow().is_empty()
            || !self.ready.borrow().is_empty()
            || !self.flush.borrow().is_empty()
            || !self.reap.borrow().is_empty()
            || !self.due_timeouts.borrow().is_empty()
    }
}

impl Drop for LoopState {
    fn drop(&mut self) {
        // From now on a task that is woken on this thread is dropped: see `SharedLoopState::schedule`.
        let incoming = self.remote.close();
        // Local futures must be dropped on this thread, even if other threads hold their wakers.
        for (_, future) in self.tasks.take().iter() {
            if let Some(future) = future.upgrade() {
                catch_and_log("task", || future.abandon());
            }
        }
        drop(incoming);
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("running", &self.inner.running.get())
            .field("timers", &self.inner.timers.borrow().len())
            .field("ticks", &self.inner.ticks.borrow().len())
            .field("holds", &self.inner.holds.get())
            .finish_non_exhaustive()
    }
}
