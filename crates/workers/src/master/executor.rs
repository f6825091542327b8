//! Execution of the supervisor's actions: starting workers, and handling their exits.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use uptick_event_loop::{add_read_stream, add_timer, remove_read_stream, stop};

use super::action::{Action, UnitId};
use super::launch::{RunningWorker, Threads, WorkerKind};
use super::state::{Master, Outcome, with_master};
use super::{files, predecessor};
use crate::control::{ControlChannel, ControlMessage, StartParameters};
use crate::error::Error;
use crate::event::{WorkerEvent, WorkerExit, WorkerId};
use crate::memory::{Counter, Gauge, WorkerState};
use crate::tls;
use crate::worker::ThreadStart;

/// Handles a message of a worker.
fn received(unit: UnitId, message: ControlMessage) {
    with_master(|master| master.received(unit, message));
}

/// Handles the end of a worker thread.
fn thread_ended(unit: UnitId, code: i32) {
    with_master(|master| {
        let thread = match master
            .units
            .borrow_mut()
            .get_mut(&unit)
            .map(|unit| &mut unit.kind)
        {
            Some(WorkerKind::Thread { thread, .. }) => thread.take(),
            _ => None,
        };
        // The thread has already reported its exit code, so joining it does not block.
        drop(thread.map(std::thread::JoinHandle::join));
        master.ended(unit, WorkerExit::Code(code));
    });
}

impl Master {
    /// Executes the supervisor's actions, and sets its timer.
    pub(super) fn execute_actions(self: &Rc<Self>) {
        loop {
            let action = self.supervisor.borrow_mut().next_action();
            let Some(action) = action else { break };
            self.execute(action);
        }
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
        let deadline = self.supervisor.borrow().next_deadline();
        if let Some(deadline) = deadline {
            let wait = deadline.saturating_duration_since(Instant::now());
            let timer = add_timer(wait, || {
                with_master(|master| {
                    master.timer.set(None);
                    master.supervisor.borrow_mut().tick(Instant::now());
                    master.execute_actions();
                });
            });
            self.timer.set(Some(timer));
        }
    }

    fn execute(self: &Rc<Self>, action: Action) {
        match action {
            Action::Start { place, generation } => self.start(place, generation),
            Action::Drain { unit, cause } => {
                // From now on, serving workers must not offer it connections.
                self.memory.slot(unit).set_state(WorkerState::Draining);
                self.send(unit, ControlMessage::Drain(cause));
            }
            Action::Kill { unit } => {
                if let Some(running) = self.units.borrow_mut().get_mut(&unit) {
                    running.kill();
                }
            }
            Action::Restarted { place } => {
                // Until this program has taken over, the workers of the older one serve, and none of them is replaced.
                let taking_over = self.predecessor.borrow().is_some()
                    && self.memory.master().load(Relaxed) != u64::from(std::process::id());
                if !taking_over {
                    self.memory.place(place).add(Counter::Restarts, 1);
                }
            }
            Action::Serving { generation, first } => self.serving(generation, first),
            Action::Reloading => {
                self.notifier.reloading();
                self.emit(WorkerEvent::Reloading);
            }
            Action::ReloadFailed { generation, reason } => {
                self.notifier.ready();
                self.emit(WorkerEvent::ReloadFailed {
                    generation,
                    reason: reason.into(),
                });
            }
            Action::GiveUp { deaths } => {
                self.outcome.replace(Some(Outcome::GivenUp { deaths }));
            }
            Action::Ended { in_time } => {
                self.outcome.borrow_mut().get_or_insert(match in_time {
                    true => Outcome::InTime,
                    false => Outcome::Cut,
                });
                stop();
            }
        }
    }

    fn serving(&self, generation: u64, first: bool) {
        self.memory.generation().store(generation, Relaxed);
        self.memory
            .master()
            .store(u64::from(std::process::id()), Relaxed);
        let succeeds = self.predecessor.borrow().is_some();
        if first {
            if let Some(path) = &self.settings.pid_file
                && let Err(error) = files::write_pid(path)
            {
                self.report_failure(&error);
            }
            predecessor::report_ready(self);
        }
        self.notifier.ready();
        if first && !succeeds {
            let listeners = self.listeners.borrow();
            let addresses = listeners.iter().map(|listener| listener.address.clone());
            self.emit(WorkerEvent::Listening {
                addresses: addresses.collect(),
            });
        } else {
            self.emit(WorkerEvent::Reloaded { generation });
        }
    }
}

/// Starting and ending workers.
impl Master {
    fn start(self: &Rc<Self>, place: usize, generation: u64) {
        match self.try_start(place, generation) {
            Ok(unit) => {
                let now = Instant::now();
                self.supervisor
                    .borrow_mut()
                    .started(unit, place, generation, now);
            }
            Err(Error::TooManyWorkers) => {
                let now = Instant::now();
                self.supervisor
                    .borrow_mut()
                    .delay_start(place, generation, now);
            }
            Err(error) => {
                self.report_failure(&error);
                let reason = error.to_string();
                let now = Instant::now();
                self.supervisor
                    .borrow_mut()
                    .start_failed(place, generation, &reason, now);
            }
        }
    }

    fn try_start(self: &Rc<Self>, place: usize, generation: u64) -> Result<UnitId, Error> {
        let own = std::process::id();
        let unit = self
            .memory
            .assign(place, generation, own)
            .ok_or(Error::TooManyWorkers)?;
        let id = WorkerId {
            number: place + 1,
            pid: own,
            generation,
        };
        let started = match &self.threads {
            Some(threads) => self.start_thread(threads, id, unit),
            None => self.start_process(id, unit),
        };
        if let Err(error) = started {
            if let Some(running) = self.units.borrow_mut().get_mut(&unit) {
                // The worker is running but cannot be used. Its slot is freed when it has ended.
                running.kill();
            }
            self.memory.free(unit, own);
            return Err(error);
        }
        Ok(unit)
    }

    fn start_thread(&self, threads: &Threads, id: WorkerId, unit: UnitId) -> Result<(), Error> {
        let place = id.number - 1;
        let start = ThreadStart {
            place,
            slot: unit,
            generation: id.generation,
            memory: Arc::clone(&self.memory),
            addresses: self.addresses(),
            listeners: self.sockets(place)?,
            settings: self.settings.worker.clone(),
        };
        let kind = threads.start(id, start, received, thread_ended)?;
        self.units
            .borrow_mut()
            .insert(unit, RunningWorker { id, kind });
        self.emit(WorkerEvent::Started(id));
        Ok(())
    }

    fn start_process(self: &Rc<Self>, id: WorkerId, unit: UnitId) -> Result<(), Error> {
        let place = id.number - 1;
        let (mut channel, theirs) = ControlChannel::pair()?;
        let memory = self.memory.file().try_clone_to_owned();
        channel.send(ControlMessage::Start(StartParameters {
            place,
            slot: unit,
            generation: id.generation,
            addresses: self.addresses(),
            ticket_keys: tls::export_ticket_keys()?,
            memory: memory.map_err(|error| Error::io("duplicating the shared memory", error))?,
            listeners: self.sockets(place)?,
        }))?;
        let child = self
            .program
            .worker(place, self.settings.user, theirs)
            .map_err(|error| Error::io("starting a worker", error))?;
        let id = WorkerId {
            pid: child.id(),
            ..id
        };
        self.memory.slot(unit).set(Gauge::Pid, u64::from(id.pid));
        let channel = Rc::new(RefCell::new(channel));
        let kind = WorkerKind::Process {
            child,
            channel: Rc::clone(&channel),
        };
        self.units
            .borrow_mut()
            .insert(unit, RunningWorker { id, kind });
        self.emit(WorkerEvent::Started(id));
        listen(&channel, unit)?;
        self.connect_with_others(unit);
        self.send(unit, ControlMessage::Complete);
        Ok(())
    }

    /// Connects a new worker with all running workers of this master, and of an older one that it takes over from.
    fn connect_with_others(&self, unit: UnitId) {
        let predecessor = self.predecessor.borrow().clone();
        for (other, _) in self.memory.owned_slots() {
            let ours = self.units.borrow().contains_key(&other);
            if other == unit || (!ours && predecessor.is_none()) {
                continue;
            }
            match peer_sockets() {
                Ok([(bus, connections), (other_bus, other_connections)]) => {
                    self.send(
                        unit,
                        ControlMessage::Peer {
                            slot: other,
                            bus,
                            connections,
                        },
                    );
                    let (bus, connections) = (other_bus, other_connections);
                    let message = ControlMessage::Peer {
                        slot: unit,
                        bus,
                        connections,
                    };
                    match &predecessor {
                        Some(channel) if !ours => predecessor::forward(channel, other, message),
                        _ => self.send(other, message),
                    }
                }
                Err(error) => self.report_failure(&error),
            }
        }
    }

    fn addresses(&self) -> Vec<String> {
        let listeners = self.listeners.borrow();
        listeners
            .iter()
            .map(|listener| listener.address.clone())
            .collect()
    }

    fn sockets(&self, place: usize) -> Result<Vec<OwnedFd>, Error> {
        let listeners = self.listeners.borrow();
        listeners
            .iter()
            .map(|listener| listener.socket(place))
            .collect()
    }

    fn received(self: &Rc<Self>, unit: UnitId, message: ControlMessage) {
        let Some(id) = self.units.borrow().get(&unit).map(|running| running.id) else {
            return;
        };
        match message {
            ControlMessage::Ready => {
                self.emit(WorkerEvent::Ready(id));
                self.supervisor.borrow_mut().ready(unit, Instant::now());
            }
            ControlMessage::Replace { reason } => {
                self.emit(WorkerEvent::Replaced {
                    worker: id,
                    reason: reason.into(),
                });
                self.supervisor.borrow_mut().replace(unit);
            }
            _ => tracing::error!("{id} sent a message that only a master may send"),
        }
        self.execute_actions();
    }

    /// Handles the exits of workers that have ended.
    pub(super) fn reap(self: &Rc<Self>) {
        let mut ended = Vec::new();
        for (unit, running) in self.units.borrow_mut().iter_mut() {
            if let WorkerKind::Process { child, .. } = &mut running.kind
                && let Ok(Some(status)) = child.try_wait()
            {
                ended.push((*unit, WorkerExit::of(status)));
            }
        }
        for (unit, end) in ended {
            self.ended(unit, end);
        }
    }

    fn ended(self: &Rc<Self>, unit: UnitId, exit: WorkerExit) {
        let Some(running) = self.units.borrow_mut().remove(&unit) else {
            return;
        };
        self.memory.free(unit, running.id.pid);
        self.emit(WorkerEvent::Ended {
            worker: running.id,
            exit,
        });
        let expected = self.supervisor.borrow().is_draining(unit);
        self.supervisor
            .borrow_mut()
            .ended(unit, !exit.is_success(), Instant::now());
        if !expected {
            self.broadcast(|| ControlMessage::Accept);
        }
        self.execute_actions();
    }
}

/// Handles the messages that a worker process sends.
fn listen(channel: &Rc<RefCell<ControlChannel>>, unit: UnitId) -> Result<(), Error> {
    let descriptor = Rc::new(channel.borrow().descriptor()?);
    let watched = Rc::clone(&descriptor);
    let channel = Rc::clone(channel);
    add_read_stream(watched, move || {
        loop {
            let next = channel.borrow().receive();
            match next {
                Ok(Some(message)) => received(unit, message),
                Ok(None) => return,
                Err(Error::PeerGone) => {
                    remove_read_stream(&descriptor);
                    return with_master(Master::reap);
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    })?;
    Ok(())
}

type PeerSockets = (OwnedFd, OwnedFd);

/// Creates the socket pairs between two workers: for the bus, and for connections.
fn peer_sockets() -> Result<[PeerSockets; 2], Error> {
    let pair = |kind| {
        rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(|errno| Error::system("creating a socket pair", errno))
    };
    let (bus, other_bus) = pair(SocketType::STREAM)?;
    let (connections, other_connections) = pair(SocketType::SEQPACKET)?;
    Ok([(bus, connections), (other_bus, other_connections)])
}
