//! The master's loop.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use uptick_event_loop::{
    SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, add_periodic_timer, add_signal,
};

use super::action::{SupervisorPolicy, UnitId};
use super::launch::{Program, Threads};
use super::listeners::{self, Listener};
use super::state::{self, Master, Outcome, with_master};
use super::supervisor::Supervisor;
use super::systemd::Notifier;
use super::{files, predecessor, status_server, successor};
use crate::control::{ControlMessage, DrainCause};
use crate::error::Error;
use crate::event::WorkerEvent;
use crate::memory::{Gauge, SharedMemory, WorkerState, monotonic_milliseconds};
use crate::settings::Settings;
use crate::status::Status;
use crate::worker::SetUp;

/// Runs a master until its service has ended. The workers are threads that `setup` sets up, or processes if it is `None`.
///
/// # Errors
/// Returns an error if the master could not start, or did not end in time.
pub(crate) fn run(settings: Settings, setup: Option<SetUp>) -> Result<(), Error> {
    let master = Master::new(settings, setup)?;
    state::install(Some(Rc::clone(&master)));
    let result = master.serve();
    state::install(None);
    result
}

impl Master {
    fn new(settings: Settings, setup: Option<SetUp>) -> Result<Rc<Master>, Error> {
        let places = settings.mode.count();
        let policy = SupervisorPolicy {
            places,
            drain: settings.worker.drain,
            start_timeout: settings.start_timeout,
            backoff_min: settings.backoff_min,
            backoff_max: settings.backoff_max,
            start_failures: settings.start_failures,
        };
        let program = Program::current()?;
        let predecessor = predecessor::take_over(places)?;
        let (memory, listeners, generation, channel) = match predecessor {
            Some(old) => (old.memory, old.listeners, old.generation, Some(old.channel)),
            None => {
                let memory = SharedMemory::create(places)
                    .map_err(|error| Error::io("creating the shared memory", error))?;
                (memory, listeners::bind(&settings)?, 1, None)
            }
        };
        // A new program takes the lock over once the old one has ended, which happens soon.
        let lock = match (&settings.lock_file, &channel) {
            (Some(path), None) => Some(files::lock(path)?),
            _ => None,
        };
        let threads = setup.map(Threads::new);
        Ok(Rc::new(Master {
            settings,
            program,
            threads,
            memory: Arc::new(memory),
            listeners: RefCell::new(listeners),
            supervisor: RefCell::new(Supervisor::new(policy, generation)),
            units: RefCell::default(),
            timer: Cell::new(None),
            notifier: Notifier::from_env(),
            upgrade: RefCell::new(None),
            predecessor: RefCell::new(channel),
            outcome: RefCell::new(None),
            last_check: Cell::new(Instant::now()),
            status_server: Cell::new(None),
            _lock: lock,
        }))
    }

    fn serve(self: &Rc<Self>) -> Result<(), Error> {
        listen_to_signals()?;
        predecessor::listen(self)?;
        if self.settings.store_descriptors {
            let listeners = self.listeners.borrow();
            let sockets = listeners.iter().flat_map(Listener::sockets);
            self.notifier
                .store(&sockets.map(AsFd::as_fd).collect::<Vec<BorrowedFd<'_>>>());
        }
        self.start_status()?;
        if let Some(period) = self.notifier.period() {
            add_periodic_timer(period, |_| with_master(|master| master.notifier.alive()));
        }
        let period = (self.settings.worker.hang / 4).max(Duration::from_millis(10));
        add_periodic_timer(period, move |_| {
            with_master(|master| master.check_heartbeats(period))
        });
        self.execute_actions();
        if self.outcome.borrow().is_none() {
            uptick_event_loop::run()?;
        }
        if let Some(path) = &self.settings.pid_file {
            files::remove_pid(path);
        }
        match self.outcome.take() {
            Some(Outcome::InTime) => Ok(()),
            Some(Outcome::GivenUp { deaths }) => Err(Error::StartFailed { deaths }),
            Some(Outcome::Cut) | None => Err(Error::DrainTimeout),
        }
    }

    /// Starts the status callback and the status socket.
    fn start_status(self: &Rc<Self>) -> Result<(), Error> {
        if let Some((interval, observer)) = &self.settings.status {
            let show = {
                let observer = Rc::clone(observer);
                let memory = Arc::clone(&self.memory);
                move || observer(&Status::of(&memory))
            };
            show();
            add_periodic_timer(*interval, move |_| show());
        }
        // A program that takes over listens there once the older one has ended.
        if let Some(uri) = &self.settings.status_socket
            && self.predecessor.borrow().is_none()
        {
            status_server::listen(self, uri)?;
        }
        Ok(())
    }

    /// Frees the slots of workers whose master was killed.
    fn free_abandoned_slots(&self) {
        for (unit, slot) in self.memory.owned_slots() {
            let pid = slot.get(Gauge::Pid);
            let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
            if !self.units.borrow().contains_key(&unit)
                && let Some(process) = process
                && test_kill_process(process) == Err(Errno::SRCH)
            {
                self.memory.free(unit, pid as u32);
            }
        }
    }

    /// Kills workers whose loop has not responded for too long.
    fn check_heartbeats(self: &Rc<Self>, period: Duration) {
        self.free_abandoned_slots();
        let now = Instant::now();
        let late = now.saturating_duration_since(self.last_check.replace(now));
        if late > period * 2 {
            // This process was stopped, and the workers may have been stopped too.
            return;
        }
        let limit = u64::try_from(self.settings.worker.hang.as_millis()).unwrap_or(u64::MAX);
        let now = monotonic_milliseconds();
        let hanging: Vec<UnitId> = self
            .units
            .borrow()
            .keys()
            .copied()
            .filter(|unit| {
                let slot = self.memory.slot(*unit);
                let silent = now.saturating_sub(slot.get(Gauge::Beat)) > limit;
                silent && slot.state() != WorkerState::Starting
            })
            .collect();
        for unit in hanging {
            let told = self
                .units
                .borrow()
                .get(&unit)
                .map(|running| WorkerEvent::Unresponsive {
                    worker: running.id,
                    state: running.describe_state().into(),
                });
            if let Some(event) = told {
                // Report a thread, which cannot be killed, once per timeout.
                self.memory.slot(unit).set(Gauge::Beat, now);
                self.emit(event);
            }
            if self.threads.is_none() {
                self.supervisor.borrow_mut().hangs(unit);
            }
        }
        self.execute_actions();
    }
}

/// Registers the signal handlers: INT and TERM stop, HUP reloads, USR1 reopens logs, USR2 upgrades.
fn listen_to_signals() -> Result<(), Error> {
    type Signal = (i32, fn(&Rc<Master>));
    let actions: [Signal; 6] = [
        (SIGTERM, Master::stop),
        (SIGINT, Master::stop),
        (SIGHUP, Master::reload),
        (SIGUSR1, |master| {
            master.broadcast(|| ControlMessage::ReopenLogs)
        }),
        (SIGUSR2, successor::begin),
        (SIGCHLD, |master| {
            master.reap();
            successor::reap(master);
        }),
    ];
    for (signal, action) in actions {
        add_signal(signal, move |_| with_master(action))?;
    }
    Ok(())
}

impl Master {
    /// Stops the service; a second call kills the workers.
    fn stop(self: &Rc<Self>) {
        if !self.supervisor.borrow().is_ending() {
            self.notifier.stopping();
            self.emit(WorkerEvent::Stopping);
            // No further connections are accepted: the workers stop accepting, and the master closes its sockets.
            self.listeners.borrow_mut().clear();
            successor::abort(self);
        }
        self.supervisor
            .borrow_mut()
            .stop(DrainCause::Stop, Instant::now());
        self.execute_actions();
    }

    fn reload(self: &Rc<Self>) {
        self.supervisor.borrow_mut().reload();
        self.execute_actions();
    }
}
