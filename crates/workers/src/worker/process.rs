//! The lifecycle of a worker process.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use uptick_event_loop::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, add_signal};

use super::handle::Worker;
use super::link::MasterLink;
use super::runtime::{Runtime, RuntimeParts};
use super::{commands, guard, heartbeat, peers};
use crate::accept::{ProcessPeers, Sharing};
use crate::bus::{Bus, SocketTransport, connect_hubs};
use crate::control::{ControlChannel, ControlMessage, StartParameters};
use crate::error::Error;
use crate::memory::SharedMemory;
use crate::settings::WorkerSettings;

/// The environment variable that marks a process as a worker.
pub(crate) const VARIABLE: &str = "UPTICK_WORKER";

/// Returns whether a master has started this process as a worker.
pub(crate) fn is_worker_process() -> bool {
    std::env::var_os(VARIABLE).is_some() && has_channel()
}

/// Returns whether the standard input is the socket to a master. Programs that a worker starts inherit the variable, but not
/// the socket.
pub(crate) fn has_channel() -> bool {
    let kind = rustix::net::sockopt::socket_type(std::io::stdin());
    kind == Ok(rustix::net::SocketType::SEQPACKET)
}

/// Runs this process as a worker until it has drained.
pub(crate) fn run_process(
    settings: &WorkerSettings,
    setup: &dyn Fn(Worker) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<(), Error> {
    let channel = ControlChannel::new(take_standard_input()?)?;
    let ControlMessage::Start(start) = channel.wait()? else {
        return Err(Error::control("the first message is not `Start`"));
    };
    guard::start(channel.descriptor()?, settings.drain)?;
    let channel = Rc::new(RefCell::new(channel));
    ignore_signals()?;
    let runtime = install(start, settings, Rc::clone(&channel))?;
    commands::listen(&channel)?;
    heartbeat::start(&runtime);
    setup(runtime.worker()).map_err(|error| Error::Setup {
        worker: runtime.place + 1,
        reason: error.to_string().into(),
    })?;
    peers::set_up();
    uptick_event_loop::run()?;
    let closed_at_deadline = runtime.closed_at_deadline.get();
    Runtime::uninstall();
    match closed_at_deadline {
        false => Ok(()),
        true => Err(Error::DrainTimeout),
    }
}

fn install(
    start: StartParameters,
    settings: &WorkerSettings,
    channel: Rc<RefCell<ControlChannel>>,
) -> Result<Rc<Runtime>, Error> {
    let memory = SharedMemory::open(start.memory)
        .map_err(|error| Error::io("mapping the shared memory", error))?;
    let memory = Arc::new(memory);
    crate::tls::install_ticket_keys(&start.ticket_keys)?;
    let connections = ProcessPeers::new(&memory, start.slot);
    let sharing =
        Sharing::with_processes(&memory, start.place, start.slot, Rc::clone(&connections));
    let bus = SocketTransport::new();
    bus.set_group(memory.group());
    bus.set_id(memory.group() + start.slot as u64);
    Bus::of_thread().attach(bus.clone());
    connect_hubs();
    peers::set(bus, connections);
    Ok(Runtime::install(RuntimeParts {
        place: start.place,
        generation: start.generation,
        slot: start.slot,
        memory,
        addresses: start.addresses,
        sockets: start.listeners,
        settings: settings.clone(),
        link: MasterLink::Process(channel),
        sharing,
    }))
}

/// Takes the socket to the master, which is the standard input, and replaces it with `/dev/null`.
pub(crate) fn take_standard_input() -> Result<OwnedFd, Error> {
    let fail = |error| Error::io("taking over the socket to the master", error);
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(fail)?;
    let null = std::fs::File::open("/dev/null").map_err(fail)?;
    rustix::stdio::dup2_stdin(&null).map_err(|errno| fail(errno.into()))?;
    Ok(socket)
}

/// Ignores the signals that the master handles. On SIGTERM, a worker requests a successor.
fn ignore_signals() -> Result<(), Error> {
    for signal in [SIGINT, SIGHUP, SIGUSR1, SIGUSR2] {
        add_signal(signal, |_| ())?;
    }
    add_signal(SIGTERM, |_| {
        if let Some(worker) = Worker::current() {
            worker.replace("SIGTERM received");
        }
    })?;
    Ok(())
}
