//! Messages from the master.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::emit;
use uptick_event_loop::add_read_stream;

use super::handle::Worker;
use super::runtime::with_runtime;
use super::{drain, peers};
use crate::control::{ControlChannel, ControlMessage, DrainCause};
use crate::error::Error;

/// Starts receiving the messages of the master. When the master has ended, the worker drains.
pub(super) fn listen(channel: &Rc<RefCell<ControlChannel>>) -> Result<(), Error> {
    let descriptor = Rc::new(channel.borrow().descriptor()?);
    let watched = Rc::clone(&descriptor);
    let channel = Rc::clone(channel);
    add_read_stream(watched, move || {
        loop {
            let received = channel.borrow().receive();
            match received {
                Ok(Some(message)) => handle(message),
                Ok(None) => return,
                Err(Error::PeerGone) => {
                    uptick_event_loop::remove_read_stream(&descriptor);
                    return drain::begin(DrainCause::Stop);
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    })?;
    Ok(())
}

/// Handles a message from the master.
pub(crate) fn handle(message: ControlMessage) {
    match message {
        ControlMessage::Drain(cause) => drain::begin(cause),
        ControlMessage::Peer {
            slot,
            bus,
            connections,
        } => peers::add_peer(slot, bus, connections),
        ControlMessage::Complete => peers::complete(),
        ControlMessage::Accept => {
            with_runtime(|runtime| runtime.sharing.accept_backlog());
        }
        ControlMessage::ReopenLogs => {
            if let Some(worker) = Worker::current() {
                emit(&worker, Worker::REOPEN, ());
            }
        }
        ControlMessage::Start(_)
        | ControlMessage::Ready
        | ControlMessage::Replace { .. }
        | ControlMessage::Forward { .. } => {
            tracing::error!("a worker received a message that only a worker may send");
        }
    }
}
