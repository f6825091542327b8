//! The connections of a worker process to the other workers.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::add_timer;

use super::runtime::with_runtime;
use crate::accept::ProcessPeers;
use crate::bus::{self, SocketTransport};

/// The time in which the other workers announce their subscriptions. Some of them may be stopped, or hang.
const HELLO_TIMEOUT: Duration = Duration::from_millis(300);

struct PeerConnections {
    bus: SocketTransport,
    connections: Rc<ProcessPeers>,
    setup_done: bool,
    complete: bool,
}

thread_local! {
    static PEERS: RefCell<Option<PeerConnections>> = const { RefCell::new(None) };
}

fn with_peers<R>(f: impl FnOnce(&mut PeerConnections) -> R) -> Option<R> {
    PEERS.with_borrow_mut(|peers| peers.as_mut().map(f))
}

/// Sets the bus and the offer sockets of this process.
pub(super) fn set(bus: SocketTransport, connections: Rc<ProcessPeers>) {
    PEERS.with_borrow_mut(|peers| {
        *peers = Some(PeerConnections {
            bus,
            connections,
            setup_done: false,
            complete: false,
        });
    });
}

/// Marks this worker as set up.
pub(super) fn set_up() {
    with_peers(|peers| peers.setup_done = true);
    ready_if_complete();
}

/// Connects this worker with another one.
pub(super) fn add_peer(slot: usize, bus: OwnedFd, connections: OwnedFd) {
    let peers = with_peers(|peers| (peers.bus.clone(), Rc::clone(&peers.connections)));
    let Some((sockets, processes)) = peers else {
        return;
    };
    with_runtime(|runtime| processes.add(slot, connections, &runtime.sharing));
    let group = with_runtime(|runtime| runtime.memory.group()).unwrap_or(0);
    if let Err(error) = sockets.add_peer(group + slot as u64, bus) {
        tracing::error!("connecting with another worker failed: {error}");
    }
}

/// Marks the list of running workers as complete.
pub(super) fn complete() {
    with_peers(|peers| peers.complete = true);
    ready_if_complete();
}

/// Reports that this worker is serving, once it is set up and has received the subscriptions of the others, on this machine and on others.
fn ready_if_complete() {
    let Some(sockets) =
        with_peers(|peers| (peers.setup_done && peers.complete).then(|| peers.bus.clone()))
            .flatten()
    else {
        return;
    };
    let announce = || {
        bus::when_remote_ready(|| {
            with_runtime(|runtime| runtime.announce_ready());
        });
    };
    sockets.when_ready(announce);
    add_timer(HELLO_TIMEOUT, announce);
}
