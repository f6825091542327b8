//! The event-loop driver of datagram sockets: receiving, sending and closing.
//!
//! No table is borrowed while a listener runs, so a listener may use any socket. The socket is looked up again after
//! each listener.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use uptick_emitter::emit;
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{Id, Readiness, Token, catch};

use crate::io::{self, ReceiveOutcome, ReceivedDatagram, Receiver};
use crate::sockets::{SocketState, SocketTable, with_open, with_socket, with_sockets};
use crate::{DatagramSocket, Error};

/// Maximum number of batches received on a socket before other sockets are served.
const MAX_BATCHES: usize = 4;

/// Maximum number of receive errors on a socket before other sockets are served.
const MAX_ERRORS: usize = 8;

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
        let freed = with_sockets(|sockets| {
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
    with_sockets(|sockets| sockets.table.find(token)).flatten()
}

/// Receives and delivers datagrams until none is left or the budget is used up.
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
    for _ in 0..MAX_BATCHES {
        let received = with_sockets(|sockets| receive_batch(sockets, id)).flatten();
        let Some((received, inbox)) = received else {
            return;
        };
        deliver(id, inbox);
        match received {
            ReceiveOutcome::More => {}
            ReceiveOutcome::Drained => return,
            ReceiveOutcome::Failed(error) => {
                let error = with_socket(id, |socket| {
                    receive_error(socket.local, socket.remote, error)
                });
                if let Some(error) = error {
                    emit(&handle, DatagramSocket::ERROR, error);
                }
                errors += 1;
                if errors == MAX_ERRORS {
                    return;
                }
            }
        }
    }
    with_open(id, |socket, driver| socket.receive_later(id, driver));
}

/// Receives a batch, unless the socket is closing or is not receiving.
fn receive_batch(
    sockets: &mut SocketTable,
    id: Id,
) -> Option<(ReceiveOutcome, Vec<ReceivedDatagram>)> {
    let SocketTable {
        table, receiver, ..
    } = sockets;
    let socket = table.get_mut(id).filter(|socket| socket.is_receiving())?;
    let fd = socket.socket.as_ref()?;
    let receiver = receiver.get_or_insert_with(|| Box::new(Receiver::new()));
    let received = receiver.receive(fd, socket.local.is_ipv6(), socket.max_datagram_size);
    socket.is_readable = !matches!(received, ReceiveOutcome::Drained);
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

/// Delivers a batch to the listeners. Datagrams stay in `held` if the socket stops receiving in the meantime.
fn deliver(id: Id, mut inbox: Vec<ReceivedDatagram>) {
    for incoming in inbox.drain(..) {
        let mut incoming = Some(incoming);
        with_open(id, |socket, _| {
            if !socket.is_receiving() {
                socket.held.extend(incoming.take());
            }
        });
        if let Some(incoming) = incoming {
            emit_datagram(id, incoming);
        }
    }
    with_sockets(|sockets| {
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
            Some(incoming) => emit_datagram(id, incoming),
            None => return,
        }
    }
}

/// Emits a received datagram, if the socket is still open.
fn emit_datagram(id: Id, incoming: ReceivedDatagram) {
    let handle = DatagramSocket::new(id);
    let ReceivedDatagram { peer, data } = incoming;
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

/// Emits the pending errors, then sends the datagrams that are queued at this point, or as many as the system accepts.
fn flush(id: Id) {
    let handle = DatagramSocket::new(id);
    let begun = with_open(id, |socket, _| {
        socket.flush_is_due = false;
        (
            std::mem::take(&mut socket.pending_errors),
            socket.queue.len(),
        )
    });
    let Some((pending_errors, mut left)) = begun else {
        return;
    };
    for error in pending_errors {
        emit(&handle, DatagramSocket::ERROR, error);
    }
    while left > 0 {
        match send_batch(id) {
            SendOutcome::Sent(count) => left = left.saturating_sub(count),
            SendOutcome::Failed(count, error) => {
                left = left.saturating_sub(count);
                emit(&handle, DatagramSocket::ERROR, error);
            }
            SendOutcome::Blocked => break,
        }
    }
    let after = with_open(id, |socket, driver| {
        if socket.queue.is_empty() {
            socket.set_blocked(id, driver, false);
        } else if !socket.is_blocked {
            socket.flush_later(id, driver);
        }
        socket.linger(id, driver);
        let is_open = socket.state == SocketState::Open;
        let has_ended = !is_open && socket.queue.is_empty() && socket.pending_errors.is_empty();
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

/// The result of sending a batch.
enum SendOutcome {
    Sent(usize),
    /// An error to emit, and the number of datagrams removed from the queue.
    Failed(usize, Error),
    /// The system accepts no more, or the socket is gone.
    Blocked,
}

fn send_batch(id: Id) -> SendOutcome {
    let result = with_sockets(|sockets| try_send(sockets, id)).flatten();
    let sent = with_sockets(|sockets| std::mem::take(&mut sockets.sent));
    if let Some(mut sent) = sent {
        sent.clear();
        with_sockets(|sockets| sockets.sent = sent);
    }
    result.unwrap_or(SendOutcome::Blocked)
}

fn try_send(sockets: &mut SocketTable, id: Id) -> Option<SendOutcome> {
    let driver = sockets.driver();
    let SocketTable { table, sent, .. } = sockets;
    let socket = table.get_mut(id)?;
    let fd = socket.socket.as_ref()?;
    let peer = socket.queue.datagrams().front()?.peer;
    let is_connected = socket.remote.is_some();
    let datagrams = socket.queue.datagrams();
    let mut result = io::send(fd, datagrams, is_connected);
    let mut earlier = None;
    if is_connected && result.as_ref().is_err_and(is_failure) {
        // The system reports the refusal of a datagram once, as the failure of a later send. That send is repeated.
        earlier = result.err();
        result = io::send_first(fd, datagrams, is_connected);
    }
    let count = match result {
        Ok(count) => count,
        Err(error) if is_failure(&error) => {
            socket.queue.take(1, sent);
            let source = Arc::new(error);
            return Some(SendOutcome::Failed(1, Error::Send { peer, source }));
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
        Some(error) => {
            SendOutcome::Failed(count, receive_error(socket.local, socket.remote, error))
        }
        None if socket.is_blocked && count == 0 => SendOutcome::Blocked,
        None => SendOutcome::Sent(count),
    })
}

/// Returns `true` unless the error only means that the call has to be repeated later.
fn is_failure(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    !matches!(error.kind(), WouldBlock | Interrupted)
}

/// Closes a socket: runs the `close` listeners, drops all listeners, closes the descriptor and frees the slot later.
pub(crate) fn close(id: Id) {
    let handle = DatagramSocket::new(id);
    let taken = with_open(id, |socket, driver| {
        socket.state = SocketState::Closing;
        if let Some(deadline) = socket.deadline.take() {
            driver::disarm_deadline(deadline);
        }
        let pending_errors = std::mem::take(&mut socket.pending_errors);
        (driver, pending_errors, std::mem::take(&mut socket.held))
    });
    let Some((driver, pending_errors, held)) = taken else {
        return;
    };
    drop(held);
    for error in pending_errors {
        catch_and_report(id, || emit(&handle, DatagramSocket::ERROR, error));
    }
    catch_and_report(id, || emit(&handle, DatagramSocket::CLOSE, ()));
    let listeners = with_socket(id, |socket| {
        socket.state = SocketState::Closed;
        socket.listeners.take()
    });
    catch_and_report(id, || drop(listeners));
    let mut unsent = Vec::new();
    let descriptor = with_socket(id, |socket| {
        socket.queue.take(usize::MAX, &mut unsent);
        let descriptor = socket.socket.take()?;
        // An adopted socket may have duplicates, which would keep the watch alive.
        if let Err(error) = driver::forget(descriptor.as_fd()) {
            tracing::warn!(socket = %socket.local, "unwatching a datagram socket failed: {error}");
        }
        Some(descriptor)
    });
    drop(descriptor);
    catch_and_report(id, || drop(unsent));
    driver::release();
    driver::reap_later(id.token(driver));
}

/// Runs a callback or a destructor of a closing socket, and reports its panic instead of propagating it.
fn catch_and_report<R>(id: Id, f: impl FnOnce() -> R) {
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
        socket.state < SocketState::Closed && socket.listeners.has(DatagramSocket::ERROR.slot())
    });
    if has_listener != Some(true) {
        tracing::warn!("{error}");
    } else if let Err(message) = catch(|| emit(&handle, DatagramSocket::ERROR, error)) {
        tracing::error!("an error listener of udp://{local} panicked: {message}");
    }
}

#[cfg(test)]
mod tests;
