//! Messages to the master.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_event_loop::{LoopHandle, add_write_stream, remove_write_stream};

use crate::control::{ControlChannel, ControlMessage};

/// The connection of a worker to its master.
#[derive(Clone)]
pub(crate) enum MasterLink {
    Process(Rc<RefCell<ControlChannel>>),
    Thread {
        master: LoopHandle,
        /// The function that the master's loop calls with a message of a unit.
        receive: fn(usize, ControlMessage),
        unit: usize,
    },
}

impl MasterLink {
    pub(super) fn ready(&self) {
        self.send(ControlMessage::Ready);
    }

    pub(super) fn replace(&self, reason: &str) {
        // The length of a packet is limited.
        let reason = reason.chars().take(200).collect();
        self.send(ControlMessage::Replace { reason });
    }

    fn send(&self, message: ControlMessage) {
        match self {
            MasterLink::Process(channel) => {
                let sent = channel.borrow_mut().send(message);
                match sent {
                    Ok(()) => flush_later(channel),
                    Err(error) => tracing::warn!("{error}"),
                }
            }
            MasterLink::Thread {
                master,
                receive,
                unit,
            } => {
                let (receive, unit) = (*receive, *unit);
                // If the master's loop has ended, this one ends as well.
                let _ = master.post(move || receive(unit, message));
            }
        }
    }
}

/// Sends queued messages once the channel is writable.
fn flush_later(channel: &Rc<RefCell<ControlChannel>>) {
    if !channel.borrow().is_blocked() {
        return;
    }
    let Ok(descriptor) = channel.borrow().descriptor() else {
        return;
    };
    let descriptor = Rc::new(descriptor);
    let watched = Rc::clone(&descriptor);
    let channel = Rc::clone(channel);
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
