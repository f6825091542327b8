//! What the loop has the sockets do: receive, send, close.
//!
//! Nothing is borrowed while a listener runs, so a listener may do anything to any socket. After each one the socket
//! is looked up anew.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use uptick_emitter::emit;
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{Id, Readiness, Token, catch};

use crate::io::{self, Incoming, Received, Receiver};
use crate::sockets::{Sockets, State, with, with_open, with_socket};
use crate::{DatagramSocket, Error};

/// How many batches a socket receives before the others have their turn.
const BATCHES: usize = 4;

/// How many errors a socket meets before the others have their turn.
const ERRORS: usize = 8;

pub(crate) struct DatagramDriver;

impl Driver for DatagramDriver {
    fn ready(&self, token: Token, readiness: Readiness) {
        let Some(id) = find(token) else { return };
        if readiness.is_readable() {
            receive(id, readiness.is_error());
        }
        let is_blocked = with_open(id, |socket, _| socket.is_blocked);
        if readiness.is_writable() && is_blocked == Some(true) {
            flush(id);
        }
    }

    fn flush(&self, token: Token) {
        if let Some(id) = find(token) {
            flush(id);
        }
    }

    fn expired(&self, token: Token) {
        let Some(id) = find(token) else { return };
        let late = with_open(id, |socket, _| {
            socket.deadline = None;
            Error::EndTimeout {
                local: socket.local,
                datagrams: socket.queue.len(),
                after: socket.linger,
            }
        });
        if let Some(late) = late {
            emit(&DatagramSocket::new(id), DatagramSocket::ERROR, late);
            close(id);
        }
    }

    fn reap(&self, token: Token) {
        let freed = with(|sockets| {
            let id = sockets.table.find(token)?;
            let socket = sockets.table.remove(id);
            let receiver = match sockets.table.is_empty() {
                true => sockets.receiver.take(),
                false => None,
            };
            Some((socket, receiver))
        });
        drop(freed);
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some(id) = find(token) {
            report_panic(id, message);
            close(id);
        }
    }
}

fn find(token: Token) -> Option<Id> {
    with(|sockets| sockets.table.find(token)).flatten()
}

/// Receives and delivers until nothing is left or others should have their turn.
fn receive(id: Id, has_error: bool) {
    let handle = DatagramSocket::new(id);
    let is_receiving = with_open(id, |socket, _| {
        socket.ready_is_due = false;
        socket.is_readable = true;
        socket.is_receiving()
    });
    if is_receiving != Some(true) {
        if has_error {
            let error = with_open(id, |socket, _| {
                let error = socket.socket.as_ref()?.take_error().ok()??;
                Some(receive_error(socket.local, socket.remote, error))
            });
            if let Some(error) = error.flatten() {
                emit(&handle, DatagramSocket::ERROR, error);
            }
        }
        return;
    }
    deliver_held(id);
    let mut errors = 0;
    for _ in 0..BATCHES {
        let received = with(|sockets| receive_batch(sockets, id)).flatten();
        let Some((received, inbox)) = received else {
            return;
        };
        deliver(id, inbox);
        match received {
            Received::More => {}
            Received::All => return,
            Received::Failed(error) => {
                let error = with_socket(id, |socket| {
                    receive_error(socket.local, socket.remote, error)
                });
                if let Some(error) = error {
                    emit(&handle, DatagramSocket::ERROR, error);
                }
                errors += 1;
                if errors == ERRORS {
                    return;
                }
            }
        }
    }
    with_open(id, |socket, driver| socket.receive_later(id, driver));
}

/// Receives a batch, unless the socket is closing or does not want one.
fn receive_batch(sockets: &mut Sockets, id: Id) -> Option<(Received, Vec<Incoming>)> {
    let Sockets {
        table, receiver, ..
    } = sockets;
    let socket = table.get_mut(id).filter(|socket| socket.is_receiving())?;
    let fd = socket.socket.as_ref()?;
    let receiver = receiver.get_or_insert_with(|| Box::new(Receiver::new()));
    let received = receiver.receive(fd, socket.local.is_ipv6(), socket.max_datagram_size);
    socket.is_readable = !matches!(received, Received::All);
    for data in receiver
        .inbox
        .iter()
        .filter_map(|incoming| incoming.data.as_ref())
    {
        socket.counters.messages_received += 1;
        socket.counters.bytes_received += data.len() as u64;
    }
    Some((received, std::mem::take(&mut receiver.inbox)))
}

/// Hands a batch to the listeners; what they do not want now is held for them.
fn deliver(id: Id, mut inbox: Vec<Incoming>) {
    for incoming in inbox.drain(..) {
        let mut incoming = Some(incoming);
        with_open(id, |socket, _| {
            if !socket.is_receiving() {
                socket.held.extend(incoming.take());
            }
        });
        if let Some(incoming) = incoming {
            hand_over(id, incoming);
        }
    }
    // The storage serves the next batch.
    with(|sockets| {
        sockets
            .receiver
            .as_mut()
            .map(|receiver| receiver.inbox = inbox)
    });
}

fn deliver_held(id: Id) {
    loop {
        let incoming = with_open(id, |socket, _| match socket.is_receiving() {
            true => socket.held.pop_front(),
            false => None,
        });
        match incoming.flatten() {
            Some(incoming) => hand_over(id, incoming),
            None => return,
        }
    }
}

/// Emits what came in; on a socket that has closed meanwhile this reaches nobody.
fn hand_over(id: Id, incoming: Incoming) {
    let handle = DatagramSocket::new(id);
    let Incoming { peer, data } = incoming;
    match data {
        Some(data) => emit(&handle, DatagramSocket::MESSAGE, (data, peer)),
        None => {
            let limit = with_open(id, |socket, _| socket.max_datagram_size);
            limit.is_some_and(|limit| {
                let error = Error::ReceivedTooLarge { peer, limit };
                emit(&handle, DatagramSocket::ERROR, error)
            })
        }
    };
}

fn receive_error(local: SocketAddr, peer: Option<SocketAddr>, error: std::io::Error) -> Error {
    Error::Receive {
        local,
        peer,
        source: Arc::new(error),
    }
}

/// Tells what is wrong and sends what was queued when it began, or as much as the system takes.
fn flush(id: Id) {
    let handle = DatagramSocket::new(id);
    let begun = with_open(id, |socket, _| {
        socket.flush_is_due = false;
        (std::mem::take(&mut socket.complaints), socket.queue.len())
    });
    let Some((complaints, mut left)) = begun else {
        return;
    };
    for complaint in complaints {
        emit(&handle, DatagramSocket::ERROR, complaint);
    }
    while left > 0 {
        match send_batch(id) {
            Sent::Some(count) => left = left.saturating_sub(count),
            Sent::Failed(count, error) => {
                left = left.saturating_sub(count);
                emit(&handle, DatagramSocket::ERROR, error);
            }
            Sent::Blocked => break,
        }
    }
    let after = with_open(id, |socket, driver| {
        if socket.queue.is_empty() {
            socket.set_blocked(id, driver, false);
        } else if !socket.is_blocked {
            socket.flush_later(id, driver);
        }
        socket.linger(id, driver);
        let is_open = socket.state == State::Open;
        let has_ended = !is_open && socket.queue.is_empty() && socket.complaints.is_empty();
        (is_open && socket.queue.has_drained(), has_ended)
    });
    match after {
        Some((true, _)) => {
            emit(&handle, DatagramSocket::DRAIN, ());
        }
        Some((_, true)) => close(id),
        _ => {}
    }
}

/// How sending a batch went.
enum Sent {
    Some(usize),
    /// An error to be told, and how many datagrams are done with.
    Failed(usize, Error),
    /// The system takes no more, or the socket is gone.
    Blocked,
}

fn send_batch(id: Id) -> Sent {
    let result = with(|sockets| try_send(sockets, id)).flatten();
    let sent = with(|sockets| std::mem::take(&mut sockets.sent));
    if let Some(mut sent) = sent {
        sent.clear();
        with(|sockets| sockets.sent = sent);
    }
    result.unwrap_or(Sent::Blocked)
}

fn try_send(sockets: &mut Sockets, id: Id) -> Option<Sent> {
    let driver = sockets.driver();
    let Sockets { table, sent, .. } = sockets;
    let socket = table.get_mut(id)?;
    let fd = socket.socket.as_ref()?;
    let peer = socket.queue.datagrams().front()?.peer;
    let is_connected = socket.remote.is_some();
    let datagrams = socket.queue.datagrams();
    let mut result = io::send(fd, datagrams, is_connected);
    let mut earlier = None;
    if is_connected && result.as_ref().is_err_and(is_failure) {
        // The system reports the refusal of a datagram by failing to send a later one, once: try that again.
        earlier = result.err();
        result = io::send_first(fd, datagrams, is_connected);
    }
    let count = match result {
        Ok(count) => count,
        Err(error) if is_failure(&error) => {
            socket.queue.take(1, sent);
            let source = Arc::new(error);
            return Some(Sent::Failed(1, Error::Send { peer, source }));
        }
        Err(error) => {
            if error.kind() == std::io::ErrorKind::WouldBlock {
                socket.set_blocked(id, driver, true);
            }
            0
        }
    };
    let bytes = socket.queue.take(count, sent);
    socket.counters.messages_sent += count as u64;
    socket.counters.bytes_sent += bytes as u64;
    Some(match earlier {
        Some(error) => Sent::Failed(count, receive_error(socket.local, socket.remote, error)),
        None if socket.is_blocked && count == 0 => Sent::Blocked,
        None => Sent::Some(count),
    })
}

/// Whether an error of sending is more than a wait.
fn is_failure(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    !matches!(error.kind(), WouldBlock | Interrupted)
}

/// Closes a socket at once: `close` listeners, then all listeners gone, then the descriptor, at last the slot.
pub(crate) fn close(id: Id) {
    let handle = DatagramSocket::new(id);
    let taken = with_open(id, |socket, driver| {
        socket.state = State::Closing;
        if let Some(deadline) = socket.deadline.take() {
            driver::disarm_deadline(deadline);
        }
        let complaints = std::mem::take(&mut socket.complaints);
        (driver, complaints, std::mem::take(&mut socket.held))
    });
    let Some((driver, complaints, held)) = taken else {
        return;
    };
    drop(held);
    for complaint in complaints {
        contain(id, || emit(&handle, DatagramSocket::ERROR, complaint));
    }
    contain(id, || emit(&handle, DatagramSocket::CLOSE, ()));
    let listeners = with_socket(id, |socket| {
        socket.state = State::Closed;
        socket.listeners.take()
    });
    contain(id, || drop(listeners));
    let mut unsent = Vec::new();
    let descriptor = with_socket(id, |socket| {
        socket.queue.take(usize::MAX, &mut unsent);
        let descriptor = socket.socket.take()?;
        // An adopted socket may have duplicates, which would keep the watch.
        if let Err(error) = driver::forget(descriptor.as_fd()) {
            tracing::warn!(socket = %socket.local, "ending the watch on a datagram socket failed: {error}");
        }
        Some(descriptor)
    });
    drop(descriptor);
    contain(id, || drop(unsent));
    driver::release();
    driver::reap_later(id.token(driver));
}

/// Runs what belongs to a socket that is closing: a panic in it must neither stop that nor hit the caller.
fn contain<R>(id: Id, f: impl FnOnce() -> R) {
    if let Err(message) = catch(f) {
        report_panic(id, &message);
    }
}

fn report_panic(id: Id, message: &str) {
    let Some(local) = with_socket(id, |socket| socket.local) else {
        return;
    };
    let error = Error::Panic {
        local,
        message: message.into(),
    };
    let handle = DatagramSocket::new(id);
    let has_listener = with_socket(id, |socket| {
        socket.state < State::Closed && socket.listeners.has(DatagramSocket::ERROR.slot())
    });
    if has_listener != Some(true) {
        tracing::warn!("{error}");
    } else if let Err(message) = catch(|| emit(&handle, DatagramSocket::ERROR, error)) {
        tracing::error!("an error listener of udp://{local} panicked: {message}");
    }
}

#[cfg(test)]
mod tests;
