//! The state of a worker.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use uptick_emitter::{Listeners, emit};
use uptick_event_loop::Histogram;
use uptick_socket::{Server, ServerOptions};

use super::handle::Worker;
use super::link::MasterLink;
use crate::accept::Sharing;
use crate::control::DrainCause;
use crate::error::Error;
use crate::memory::{Counter, SharedMemory, WorkerSlot, WorkerState};
use crate::settings::WorkerSettings;

/// The state of the worker on this thread.
pub(crate) struct Runtime {
    /// The place of the worker ([`crate::memory`]), counted from 0.
    pub(crate) place: usize,
    pub(crate) generation: u64,
    pub(crate) slot: usize,
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) addresses: Vec<String>,
    pub(crate) settings: WorkerSettings,
    pub(crate) link: MasterLink,
    pub(crate) sharing: Rc<Sharing>,
    pub(super) sockets: RefCell<Vec<OwnedFd>>,
    pub(super) listeners: RefCell<Listeners>,
    pub(super) draining: Cell<Option<DrainCause>>,
    /// `true` if connections were closed at the deadline.
    pub(super) closed_at_deadline: Cell<bool>,
    pub(super) heartbeat: HeartbeatState,
}

/// The state of the heartbeat timer.
#[derive(Default)]
pub(super) struct HeartbeatState {
    pub(super) started: Cell<Option<Instant>>,
    pub(super) beats: Cell<u64>,
    pub(super) published: RefCell<PublishedCounts>,
    pub(super) successor_requested: Cell<bool>,
}

/// The counters that have been added to the shared memory.
#[derive(Default)]
pub(super) struct PublishedCounts {
    pub(super) counters: [u64; COUNTERS.len()],
    pub(super) lag: Histogram,
    pub(super) handlers: Histogram,
    pub(super) pings: Histogram,
}

/// The counters that the heartbeat updates, in the order of [`PublishedCounts::counters`].
pub(super) const COUNTERS: [Counter; 11] = [
    Counter::Requests2xx,
    Counter::Requests3xx,
    Counter::Requests4xx,
    Counter::Requests5xx,
    Counter::MessagesDropped,
    Counter::BusPublished,
    Counter::BusReceived,
    Counter::BusDropped,
    Counter::Handshakes,
    Counter::Resumptions,
    Counter::HandshakeFailures,
];

/// The values from which a [`Runtime`] is created.
pub(crate) struct RuntimeParts {
    pub(crate) place: usize,
    pub(crate) generation: u64,
    pub(crate) slot: usize,
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) addresses: Vec<String>,
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) settings: WorkerSettings,
    pub(crate) link: MasterLink,
    pub(crate) sharing: Rc<Sharing>,
}

thread_local! {
    static RUNTIME: RefCell<Option<Rc<Runtime>>> = const { RefCell::new(None) };
}

/// Calls `f` with the state of the worker on this thread, if it is one.
pub(crate) fn with_runtime<R>(f: impl FnOnce(&Rc<Runtime>) -> R) -> Option<R> {
    let runtime = RUNTIME.try_with(|runtime| runtime.borrow().clone());
    runtime.ok().flatten().map(|runtime| f(&runtime))
}

impl Runtime {
    /// Makes this thread a worker.
    pub(crate) fn install(parts: RuntimeParts) -> Rc<Runtime> {
        let runtime = Rc::new(Runtime {
            place: parts.place,
            generation: parts.generation,
            slot: parts.slot,
            memory: parts.memory,
            addresses: parts.addresses,
            settings: parts.settings,
            link: parts.link,
            sharing: parts.sharing,
            sockets: RefCell::new(parts.sockets),
            listeners: RefCell::new(Listeners::new()),
            draining: Cell::new(None),
            closed_at_deadline: Cell::new(false),
            heartbeat: HeartbeatState::default(),
        });
        Sharing::install(&runtime.sharing);
        RUNTIME.with_borrow_mut(|place| *place = Some(Rc::clone(&runtime)));
        runtime
    }

    /// Removes the worker of this thread.
    pub(crate) fn uninstall() {
        let runtime = RUNTIME.try_with(|place| place.borrow_mut().take());
        drop(runtime);
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::new(self.place + 1, self.generation)
    }

    pub(crate) fn slot(&self) -> WorkerSlot {
        self.memory.slot(self.slot)
    }

    /// Marks the worker as serving: it is offered connections, the master is notified, and `ready` is
    /// emitted.
    pub(crate) fn announce_ready(&self) {
        if self.slot().state() != WorkerState::Starting {
            return;
        }
        self.slot().set_state(WorkerState::Ready);
        self.link.ready();
        emit(&self.worker(), Worker::READY, ());
    }

    pub(super) fn server(&self, index: usize, options: ServerOptions) -> Result<Server, Error> {
        if let Some(server) = self.sharing.server(index) {
            return Ok(server);
        }
        let sockets = self.sockets.borrow();
        let socket = sockets.get(index).ok_or(Error::NoListener {
            index,
            count: sockets.len(),
        })?;
        let socket = socket
            .try_clone()
            .map_err(|error| Error::io("duplicating a listening socket", error))?;
        drop(sockets);
        let balancer = self.sharing.balancer(index);
        let server = Server::adopt(socket, options.shared(true).balancer(balancer))?;
        self.sharing.set_server(index, server);
        Ok(server)
    }
}
