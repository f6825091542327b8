//! The new program of a binary upgrade: it is executed from its file and takes over the listening
//! sockets.
//!
//! The old master passes on its state, and serves until the new one is ready. Then its workers drain.

use std::cell::RefCell;
use std::process::Child;
use std::rc::Rc;
use std::time::Instant;

use uptick_event_loop::{add_read_stream, add_timer, remove_read_stream};

use super::predecessor;
use super::state::{Master, PendingUpgrade, with_master};
use crate::control::{ControlChannel, ControlMessage, DrainCause, StartParameters};
use crate::error::Error;
use crate::event::{WorkerEvent, WorkerExit};
use crate::tls;

/// Executes the program again. Does nothing while another upgrade is in progress, or before this
/// program is serving.
pub(super) fn begin(master: &Rc<Master>) {
    let busy = master.upgrade.borrow().is_some() || !master.supervisor.borrow().is_serving();
    if busy {
        return master.emit(WorkerEvent::UpgradeFailed {
            reason: "the service is starting, reloading or stopping".into(),
        });
    }
    master.emit(WorkerEvent::Upgrading);
    match try_begin(master) {
        Ok(upgrade) => drop(master.upgrade.replace(Some(upgrade))),
        Err(error) => fail(master, &error.to_string()),
    }
}

fn try_begin(master: &Rc<Master>) -> Result<PendingUpgrade, Error> {
    let (mut channel, theirs) = ControlChannel::pair()?;
    let memory = master.memory.file().try_clone_to_owned();
    let mut addresses = Vec::new();
    let mut sockets = Vec::new();
    for listener in master.listeners.borrow().iter() {
        for socket in listener.sockets() {
            let socket = socket.try_clone();
            sockets.push(socket.map_err(|error| Error::io("duplicating a socket", error))?);
            addresses.push(listener.address.clone());
        }
    }
    channel.send(ControlMessage::Start(StartParameters {
        place: 0,
        slot: 0,
        generation: master.supervisor.borrow().generation() + 1,
        addresses,
        ticket_keys: tls::export_ticket_keys()?,
        memory: memory.map_err(|error| Error::io("duplicating the shared memory", error))?,
        listeners: sockets,
    }))?;
    let child = master
        .program
        .successor(theirs)
        .map_err(|error| Error::io("executing the program again", error))?;
    let channel = Rc::new(RefCell::new(channel));
    listen(&channel)?;
    let timer = add_timer(master.settings.start_timeout, || {
        with_master(|master| fail(master, "the new program did not become ready in time"));
    });
    Ok(PendingUpgrade {
        child,
        timer,
        done: false,
    })
}

/// Handles the messages of the new program.
fn listen(channel: &Rc<RefCell<ControlChannel>>) -> Result<(), Error> {
    let descriptor = Rc::new(channel.borrow().descriptor()?);
    let watched = Rc::clone(&descriptor);
    let channel = Rc::clone(channel);
    add_read_stream(watched, move || {
        loop {
            let next = channel.borrow().receive();
            match next {
                Ok(Some(ControlMessage::Ready)) => with_master(done),
                Ok(Some(ControlMessage::Forward {
                    owner,
                    slot,
                    bus,
                    connections,
                })) => with_master(|master| {
                    let peer = ControlMessage::Peer {
                        slot,
                        bus,
                        connections,
                    };
                    let ours = master.units.borrow().contains_key(&owner);
                    match &*master.predecessor.borrow() {
                        Some(older) if !ours => predecessor::forward(older, owner, peer),
                        _ => master.send(owner, peer),
                    }
                }),
                Ok(Some(_)) => {
                    tracing::error!("the new program sent a message that only a master may send")
                }
                Ok(None) => return,
                Err(Error::PeerGone) => {
                    remove_read_stream(&descriptor);
                    return with_master(reap);
                }
                Err(error) => tracing::error!("{error}"),
            }
        }
    })?;
    Ok(())
}

/// Drains the workers and ends this program, because the new one is serving.
fn done(master: &Rc<Master>) {
    let pid = match &mut *master.upgrade.borrow_mut() {
        Some(upgrade) if !upgrade.done => {
            upgrade.done = true;
            upgrade.timer.cancel();
            upgrade.child.id()
        }
        _ => return,
    };
    master.notifier.main_process(pid);
    master.emit(WorkerEvent::Upgraded { pid });
    if let Some(server) = master.status_server.take() {
        server.close();
    }
    for mut listener in master.listeners.take() {
        listener.keep_file();
    }
    master
        .supervisor
        .borrow_mut()
        .stop(DrainCause::Restart, Instant::now());
    master.execute_actions();
}

/// Aborts the upgrade if the new program has ended before it was serving.
pub(super) fn reap(master: &Rc<Master>) {
    let ended = match &mut *master.upgrade.borrow_mut() {
        Some(upgrade) if !upgrade.done => upgrade.child.try_wait().ok().flatten(),
        _ => None,
    };
    if let Some(status) = ended {
        fail(
            master,
            &format!("the new program ended: {}", WorkerExit::of(status)),
        );
    }
}

/// Aborts the upgrade; this program continues to serve.
fn fail(master: &Rc<Master>, reason: &str) {
    let upgrade = master.upgrade.take();
    if let Some(mut upgrade) = upgrade {
        upgrade.timer.cancel();
        end(&mut upgrade.child);
    }
    master.emit(WorkerEvent::UpgradeFailed {
        reason: reason.into(),
    });
}

/// Aborts the upgrade because the service is stopping.
pub(super) fn abort(master: &Rc<Master>) {
    let starting = matches!(&*master.upgrade.borrow(), Some(upgrade) if !upgrade.done);
    if starting {
        fail(master, "the service is stopping");
    }
}

fn end(child: &mut Child) {
    // The process may have ended already.
    let _ = child.kill();
    if let Err(error) = child.wait() {
        tracing::warn!("waiting for the new program failed: {error}");
    }
}
