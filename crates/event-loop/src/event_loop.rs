//! The loop of a thread: what is on it, and how it is run.

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
use crate::handle::{LoopHandle, Remote};
use crate::histogram::Histogram;
use crate::lags::Lags;
use crate::panic::contain;
use crate::poller::{MioPoller, Poller, Readiness};
use crate::table::Table;
use crate::task::Abandon;
use crate::timer::{Expiring, TimerEntry};
use crate::timers::Timers;
use crate::token::{DriverId, Token};
pub(crate) use time::nanoseconds;

thread_local! {
    static CURRENT: OnceCell<Rc<Inner>> = const { OnceCell::new() };
}

/// Something to be run in the next iteration.
pub(crate) enum Tick {
    Call(Box<dyn FnOnce()>),
    Task(Runnable),
}

pub(crate) struct Inner {
    poller: RefCell<Box<dyn Poller>>,
    clock: Box<dyn Clock>,
    start: Instant,
    /// The clock as it was last read: nanoseconds since the loop was made.
    pub(crate) elapsed: Cell<u64>,
    /// The time up to which readiness has been looked at and handled. Nothing that is later expires.
    seen: Cell<u64>,
    /// How many waits in a row have left readiness unreported.
    full_waits: Cell<u32>,
    pub(crate) lags: RefCell<Lags>,
    pub(crate) ticks: RefCell<VecDeque<Tick>>,
    pub(crate) timers: RefCell<Timers<TimerEntry>>,
    /// Timeouts that are due at a time, until readiness has been looked at after it.
    pub(crate) expiring: RefCell<Vec<Expiring>>,
    deadlines: RefCell<Wheel>,
    drivers: RefCell<Vec<&'static dyn Driver>>,
    events: RefCell<Vec<(Token, Readiness)>>,
    pub(crate) flush: RefCell<Vec<Token>>,
    pub(crate) ready: RefCell<Vec<(Token, Readiness)>>,
    pub(crate) reap: RefCell<Vec<Token>>,
    /// How many things `run` waits for, beside ticks and timers.
    pub(crate) holds: Cell<usize>,
    pub(crate) jobs: Cell<usize>,
    /// The futures of tasks, to be dropped when the thread ends.
    pub(crate) tasks: RefCell<Table<Weak<dyn Abandon>>>,
    /// How many iterations have begun.
    pub(crate) iterations: Cell<u64>,
    stopping: Cell<bool>,
    running: Cell<bool>,
    /// Whom to wake when something is put on the loop between its iterations.
    host: Cell<Option<Waker>>,
    pub(crate) remote: Arc<Remote>,
    descriptor: OnceCell<OwnedFd>,
}

/// Runs `f` on this thread's loop, which is made on first use. `None` while the thread is being torn down.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Inner) -> R) -> Option<R> {
    CURRENT
        .try_with(|current| f(current.get_or_init(|| Rc::new(Inner::with_system_poller()))))
        .ok()
}

/// This thread's event loop, for those who embed it; everything else is a function of this crate.
///
/// There is one loop in each thread, made on first use.
///
/// # Examples
/// Hosted by another loop: wait until the descriptor is readable or the time is over, then run one iteration.
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
    inner: Rc<Inner>,
}

impl EventLoop {
    /// The loop of this thread.
    ///
    /// # Panics
    /// In a destructor of a thread-local value, after the loop of the thread that ends is gone.
    pub fn current() -> EventLoop {
        let inner = CURRENT.with(|current| {
            Rc::clone(current.get_or_init(|| Rc::new(Inner::with_system_poller())))
        });
        EventLoop { inner }
    }

    pub(crate) fn try_current() -> Result<EventLoop, Error> {
        CURRENT
            .try_with(|current| {
                let inner = current.get_or_init(|| Rc::new(Inner::with_system_poller()));
                EventLoop {
                    inner: Rc::clone(inner),
                }
            })
            .map_err(|_| Error::LoopGone)
    }

    /// Gives this thread a loop with a poller and a clock of one's own, for tests as a rule.
    ///
    /// # Errors
    /// [`Error::AlreadyInstalled`] when the thread has a loop.
    pub fn install(
        poller: impl Poller + 'static,
        clock: impl Clock + 'static,
    ) -> Result<EventLoop, Error> {
        let inner = Rc::new(Inner::new(Box::new(poller), Box::new(clock)));
        CURRENT
            .with(|current| current.set(Rc::clone(&inner)))
            .map_err(|_| Error::AlreadyInstalled)?;
        Ok(EventLoop { inner })
    }

    /// Runs one iteration that waits for at most `timeout`; `None` waits until something happens.
    /// Gives whether to go on: there is something left to wait for, and [`stop`] was not called.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] inside a callback of the loop, [`Error::Poll`] when the poller fails.
    pub fn run_once(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let _running = self.inner.enter()?;
        let result = self.inner.iterate(timeout);
        self.inner.note_lag();
        result?;
        let stopped = self.inner.stopping.replace(false);
        Ok(!stopped && self.inner.is_alive())
    }

    /// Runs until nothing is left to wait for, or until [`stop`].
    ///
    /// # Errors
    /// As [`run_once`](EventLoop::run_once).
    pub fn run(&self) -> Result<(), Error> {
        let _running = self.inner.enter()?;
        self.inner.remote.forget_stop();
        while self.inner.is_alive() {
            self.inner.iterate(None)?;
            if self.inner.stopping.replace(false) {
                break;
            }
        }
        self.inner.note_lag();
        Ok(())
    }

    /// Whether there is anything left to wait for.
    pub fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    /// How long the next iteration would wait: zero when something is to be done at once or nothing is waited for,
    /// `None` without end.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.read_clock();
        self.inner.timeout(None)
    }

    /// Has `waker` woken once, when code of this thread puts something on the loop between two iterations: a tick, a
    /// timer, a write, a task that another executor wakes. The host then asks for [`timeout`](EventLoop::timeout) anew.
    ///
    /// It takes the place of the waker before; `None` takes it away. What other threads do shows in the
    /// [`descriptor`](EventLoop::descriptor). Default: none.
    pub fn set_waker(&self, waker: Option<Waker>) {
        // The waker before is dropped after the change: it may use the loop.
        drop(self.inner.host.replace(waker));
    }

    /// A descriptor that becomes readable when the loop has I/O to do, for the poller of a host.
    ///
    /// Neither timers nor what is put on the loop between two iterations show in it: wait no longer than
    /// [`timeout`](EventLoop::timeout), and see [`set_waker`](EventLoop::set_waker).
    ///
    /// # Errors
    /// [`Error::Poll`] when the poller has none or the system gives no further descriptor.
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

/// Runs this thread's loop until nothing is left to wait for, or until [`stop`].
///
/// Ticks, timers, watches, tasks and jobs are waited for, and what other crates put on the loop: servers,
/// connections. Listeners of signals and [`LoopHandle`]s are not; [`keep_alive`](crate::keep_alive) is for a program that has nothing
/// else. It may be called again afterwards.
///
/// # Errors
/// [`Error::AlreadyRunning`] inside a callback of the loop, [`Error::Poll`] when the poller fails, [`Error::LoopGone`]
/// while the thread is torn down.
pub fn run() -> Result<(), Error> {
    EventLoop::try_current()?.run()
}

/// Has the running loop finish its current iteration and return from [`run`]; nothing happens when it does not run.
pub fn stop() {
    with(|event_loop| event_loop.stopping.set(event_loop.running.get()));
}

/// The time, as read at the beginning of this iteration's events: cheap, and the same for all callbacks.
pub fn now() -> Instant {
    with(|event_loop| {
        if !event_loop.running.get() {
            event_loop.read_clock();
        }
        // A clock at its end must not overflow the instant.
        let elapsed = Duration::from_nanos(event_loop.elapsed.get());
        let start = event_loop.start;
        start.checked_add(elapsed).unwrap_or(start)
    })
    .unwrap_or_else(Instant::now)
}

/// Returns for how long callbacks have kept this thread's loop busy between two waits for events: the time that other events, timers
/// included, had to wait at most.
///
/// It is measured only while timers or deadlines are pending, of connections as a rule. No clock is read for it: where no timer is pending, the
/// times are those of the system's coarse clock, which moves in steps of 1 ms to 10 ms.
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

/// Has `callback` called in the next iteration, before timers and I/O, in the order of the calls.
///
/// Only ticks that were queued when an iteration began run in it.
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
    let refused = match with_tick(tick) {
        Ok(()) => return,
        Err(tick) => tick,
    };
    drop(refused);
}

fn with_tick(tick: Tick) -> Result<(), Tick> {
    let mut tick = Some(tick);
    with(|event_loop| {
        event_loop.ticks.borrow_mut().extend(tick.take());
        event_loop.changed();
    });
    tick.map_or(Ok(()), Err)
}

/// A handle to this thread's loop that other threads may use.
pub fn handle() -> LoopHandle {
    let remote = with(|event_loop| Arc::clone(&event_loop.remote));
    LoopHandle::new(remote.unwrap_or_else(|| Arc::new(Remote::gone())))
}

/// Takes the flags back when running ends, also by an error or a panic.
struct Running<'a> {
    running: &'a Cell<bool>,
    stopping: &'a Cell<bool>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.running.set(false);
        self.stopping.set(false);
    }
}

impl Inner {
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
        let remote = Arc::new(Remote::new(poller.waker()));
        let elapsed = nanoseconds(clock.elapsed());
        Inner {
            poller: RefCell::new(poller),
            start: Instant::now(),
            clock,
            elapsed: Cell::new(elapsed),
            seen: Cell::new(elapsed),
            full_waits: Cell::new(0),
            lags: RefCell::new(Lags::new()),
            ticks: RefCell::default(),
            timers: RefCell::new(Timers::new()),
            expiring: RefCell::default(),
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
            host: Cell::new(None),
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
                "registering a driver failed: the loop has {} already",
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

    /// To be called when there is more to do, or less to wait for, than the host of the loop knows of.
    #[inline]
    pub(crate) fn changed(&self) {
        if !self.running.get() {
            self.wake_host();
        }
    }

    #[cold]
    fn wake_host(&self) {
        if let Some(host) = self.host.take() {
            host.wake();
        }
    }

    fn enter(&self) -> Result<Running<'_>, Error> {
        if self.running.replace(true) {
            return Err(Error::AlreadyRunning);
        }
        self.read_clock();
        Ok(Running {
            running: &self.running,
            stopping: &self.stopping,
        })
    }

    fn is_alive(&self) -> bool {
        self.holds.get() > 0
            || !self.timers.borrow().is_empty()
            || self.has_work()
            || self.remote.has_arrivals()
    }

    /// Whether there is something to do without waiting.
    fn has_work(&self) -> bool {
        !self.ticks.borrow().is_empty()
            || !self.ready.borrow().is_empty()
            || !self.flush.borrow().is_empty()
            || !self.reap.borrow().is_empty()
            || !self.expiring.borrow().is_empty()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // From here on a task that is woken on this thread is dropped: see `Remote::schedule`.
        let arrivals = self.remote.close();
        // Local futures have to be dropped on this thread, whoever holds their wakers.
        for (_, future) in self.tasks.take().iter() {
            if let Some(future) = future.upgrade() {
                contain("task", || future.abandon());
            }
        }
        drop(arrivals);
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
