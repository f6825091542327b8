//! The lifecycle of a worker thread.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use uptick_event_loop::LoopHandle;

use super::handle::SetUp;
use super::link::MasterLink;
use super::runtime::{Runtime, RuntimeParts};
use super::{commands, heartbeat};
use crate::accept::{Sharing, ThreadPeers, ThreadRegistry};
use crate::bus::{self, Bus, ThreadBus, connect_hubs};
use crate::control::{ControlMessage, ThreadInbox};
use crate::error::Error;
use crate::memory::SharedMemory;
use crate::settings::WorkerSettings;

/// The arguments of a new worker thread.
pub(crate) struct ThreadStart {
    pub(crate) place: usize,
    pub(crate) slot: usize,
    pub(crate) generation: u64,
    pub(crate) memory: Arc<SharedMemory>,
    pub(crate) addresses: Vec<String>,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) settings: WorkerSettings,
}

/// The state that a worker thread shares with the master and the other workers.
pub(crate) struct ThreadContext {
    pub(crate) setup: SetUp,
    pub(crate) registry: Arc<ThreadRegistry>,
    pub(crate) bus: ThreadBus,
    pub(crate) inbox: Arc<ThreadInbox>,
    /// The master's loop.
    pub(crate) master: LoopHandle,
    /// The function that the master's loop calls with messages from this thread.
    pub(crate) receive: fn(usize, ControlMessage),
}

/// Runs this thread as a worker until it has drained; returns the exit code that a process would
/// have.
pub(crate) fn run_thread(start: ThreadStart, context: &ThreadContext) -> i32 {
    let slot = start.slot;
    let ended = uptick_event_loop::catch(|| serve(start, context));
    context.registry.remove(slot);
    Runtime::uninstall();
    match ended {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            tracing::error!("{error}");
            1
        }
        Err(message) => {
            tracing::error!("a worker panicked: {message}");
            1
        }
    }
}

fn serve(start: ThreadStart, context: &ThreadContext) -> Result<(), Error> {
    let peers = ThreadPeers(Arc::clone(&context.registry));
    let sharing = Sharing::with_threads(&start.memory, start.place, start.slot, peers);
    Bus::of_thread().attach(context.bus.join());
    connect_hubs();
    let slot = start.slot;
    let runtime = Runtime::install(RuntimeParts {
        place: start.place,
        generation: start.generation,
        slot,
        memory: start.memory,
        addresses: start.addresses,
        sockets: start.listeners,
        settings: start.settings,
        link: MasterLink::Thread {
            master: context.master.clone(),
            receive: context.receive,
            unit: slot,
        },
        sharing,
    });
    heartbeat::start(&runtime);
    (context.setup)(runtime.worker()).map_err(|error| Error::Setup {
        worker: runtime.place + 1,
        reason: error.to_string().into(),
    })?;
    if !context.inbox.open(commands::handle) {
        return Ok(());
    }
    context.registry.add(slot, uptick_event_loop::handle());
    let announced = Rc::clone(&runtime);
    bus::when_remote_ready(move || announced.announce_ready());
    uptick_event_loop::run()?;
    match runtime.closed_at_deadline.get() {
        false => Ok(()),
        true => Err(Error::DrainTimeout),
    }
}
