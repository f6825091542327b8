//! The older program from which this one takes over in a binary upgrade.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use uptick_event_loop::{add_read_stream, remove_read_stream};

use super::launch::SUCCESSOR_VARIABLE;
use super::listeners::Listener;
use super::state::{Master, with_master};
use super::status_server;
use crate::control::{ControlChannel, ControlMessage};
use crate::error::Error;
use crate::memory::SharedMemory;
use crate::tls;

/// The state that the older program passed on.
pub(super) struct InheritedState {
    pub(super) memory: SharedMemory,
    pub(super) listeners: Vec<Listener>,
    pub(super) generation: u64,
    pub(super) channel: Rc<RefCell<ControlChannel>>,
}

/// Returns whether this process takes over from an older program.
fn is_successor() -> bool {
    std::env::var_os(SUCCESSOR_VARIABLE).is_some() && crate::worker::has_channel()
}

/// Takes over from the older program that started this one, if there is one.
pub(super) fn take_over(places: usize) -> Result<Option<InheritedState>, Error> {
    if !is_successor() {
        return Ok(None);
    }
    let channel = ControlChannel::new(crate::worker::take_standard_input()?)?;
    let ControlMessage::Start(start) = channel.wait()? else {
        return Err(Error::control("the first message is not `Start`"));
    };
    tls::install_ticket_keys(&start.ticket_keys)?;
    let memory = match SharedMemory::open(start.memory) {
        Ok(memory) if memory.places() == places => memory,
        // The new program has a different number of workers, so its counters start at 0.
        _ => SharedMemory::create(places)
            .map_err(|error| Error::io("creating the shared memory", error))?,
    };
    let mut listeners: Vec<(String, Vec<OwnedFd>)> = Vec::new();
    for (address, socket) in start.addresses.into_iter().zip(start.listeners) {
        match listeners.last_mut() {
            Some((known, sockets)) if *known == address => sockets.push(socket),
            _ => listeners.push((address, vec![socket])),
        }
    }
    let listeners = listeners
        .into_iter()
        .map(|(address, sockets)| Listener::taken_over(address, sockets));
    Ok(Some(InheritedState {
        memory,
        listeners: listeners.collect(),
        generation: start.generation,
        channel: Rc::new(RefCell::new(channel)),
    }))
}

/// Watches for the end of the older program.
pub(super) fn listen(master: &Rc<Master>) -> Result<(), Error> {
    let Some(channel) = master.predecessor.borrow().clone() else {
        return Ok(());
    };
    let descriptor = Rc::new(channel.borrow().descriptor()?);
    let watched = Rc::clone(&descriptor);
    add_read_stream(watched, move || {
        let next = channel.borrow().receive();
        if let Err(Error::PeerGone) = next {
            remove_read_stream(&descriptor);
            with_master(|master| {
                master.predecessor.take();
                if let Some(uri) = &master.settings.status_socket
                    && let Err(error) = status_server::listen(master, uri)
                {
                    master.report_failure(&error);
                }
                master.memory.master().store(
                    u64::from(std::process::id()),
                    std::sync::atomic::Ordering::Relaxed,
                );
            });
        }
    })?;
    Ok(())
}

/// Reports to the older program that this one is serving.
pub(super) fn report_ready(master: &Master) {
    if let Some(channel) = &*master.predecessor.borrow() {
        let sent = channel.borrow_mut().send(ControlMessage::Ready);
        if let Err(error) = sent {
            tracing::warn!("notifying the older program failed: {error}");
        }
    }
}

/// Forwards the sockets of a new worker to the older program, which passes them to one of its workers or to an even
/// older program.
pub(super) fn forward(channel: &Rc<RefCell<ControlChannel>>, owner: usize, peer: ControlMessage) {
    if let ControlMessage::Peer {
        slot,
        bus,
        connections,
    } = peer
    {
        let message = ControlMessage::Forward {
            owner,
            slot,
            bus,
            connections,
        };
        let sent = channel.borrow_mut().send(message);
        if let Err(error) = sent {
            tracing::debug!("forwarding a worker's sockets to the older program failed: {error}");
        }
    }
}
