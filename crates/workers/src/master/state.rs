//! The state of a master.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::process::Child;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use uptick_event_loop::{Timer, add_write_stream, remove_write_stream};
use uptick_socket::Server;

use super::action::UnitId;
use super::launch::{Program, RunningWorker, Threads, WorkerKind};
use super::listeners::Listener;
use super::supervisor::Supervisor;
use super::systemd::Notifier;
use crate::control::{ControlChannel, ControlMessage};
use crate::error::Error;
use crate::event::WorkerEvent;
use crate::memory::SharedMemory;
use crate::settings::Settings;

/// The result of the service.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    InTime,
    Cut,
    GivenUp { deaths: u32 },
}

/// A master and its resources.
pub(crate) struct Master {
    pub(super) settings: Settings,
    pub(super) program: Program,
    pub(super) threads: Option<Threads>,
    pub(super) memory: Arc<SharedMemory>,
    pub(super) listeners: RefCell<Vec<Listener>>,
    pub(super) supervisor: RefCell<Supervisor>,
    pub(super) units: RefCell<BTreeMap<UnitId, RunningWorker>>,
    pub(super) timer: Cell<Option<Timer>>,
    pub(super) notifier: Notifier,
    pub(super) upgrade: RefCell<Option<PendingUpgrade>>,
    /// The channel to the older program that this one takes over from.
    pub(super) predecessor: RefCell<Option<Rc<RefCell<ControlChannel>>>>,
    pub(super) outcome: RefCell<Option<Outcome>>,
    pub(super) last_check: Cell<Instant>,
    pub(super) status_server: Cell<Option<Server>>,
    pub(super) _lock: Option<File>,
}

/// A new program that is about to take over.
pub(crate) struct PendingUpgrade {
    pub(super) child: Child,
    pub(super) timer: Timer,
    /// `true` once the new program is serving.
    pub(super) done: bool,
}

thread_local! {
    static MASTER: RefCell<Option<Rc<Master>>> = const { RefCell::new(None) };
}

/// Sets or removes the master of the thread.
pub(super) fn install(master: Option<Rc<Master>>) {
    MASTER.with_borrow_mut(|place| *place = master);
}

pub(super) fn with_master(f: impl FnOnce(&Rc<Master>)) {
    let master = MASTER.try_with(|master| master.borrow().clone());
    if let Ok(Some(master)) = master {
        f(&master);
    }
}

impl Master {
    pub(super) fn emit(&self, event: WorkerEvent) {
        self.settings.emit(&event);
    }

    pub(super) fn report_failure(&self, error: &Error) {
        self.emit(WorkerEvent::Failed {
            error: error.to_string().into(),
        });
    }

    pub(super) fn send(&self, unit: UnitId, message: ControlMessage) {
        if let Some(running) = self.units.borrow().get(&unit) {
            running.send(message);
        }
        self.flush_later(unit);
    }

    pub(super) fn broadcast(&self, message: impl Fn() -> ControlMessage) {
        let units: Vec<UnitId> = self.units.borrow().keys().copied().collect();
        for unit in units {
            self.send(unit, message());
        }
    }

    /// Sends queued messages once the socket of a worker is writable.
    fn flush_later(&self, unit: UnitId) {
        let channel = match self.units.borrow().get(&unit).map(|running| &running.kind) {
            Some(WorkerKind::Process { channel, .. }) if channel.borrow().is_blocked() => {
                Rc::clone(channel)
            }
            _ => return,
        };
        let Ok(descriptor) = channel.borrow().descriptor() else {
            return;
        };
        let descriptor = Rc::new(descriptor);
        let watched = Rc::clone(&descriptor);
        let added = add_write_stream(watched, move || {
            let flushed = channel.borrow_mut().flush();
            if flushed.is_err() || !channel.borrow().is_blocked() {
                remove_write_stream(&descriptor);
            }
        });
        if let Err(error) = added {
            tracing::warn!("{error}");
        }
    }
}
