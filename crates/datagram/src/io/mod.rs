//! System calls on datagrams: in batches on Linux, one by one elsewhere.

#[cfg(target_os = "linux")]
mod batched;
// On Linux for its tests.
#[cfg(any(test, not(target_os = "linux")))]
mod single;

#[cfg(target_os = "linux")]
use batched as system;
#[cfg(not(target_os = "linux"))]
use single as system;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use bytes::{Bytes, BytesMut};

use crate::queue::Outgoing;

pub(crate) use system::Slots;

/// The largest datagram that can be received, in bytes.
pub(crate) const LARGEST: usize = 65_535;

/// How many datagrams a batch holds.
pub(crate) const BATCH: usize = 32;

/// What received datagrams are copied into; they share pieces of this size.
const ARENA: usize = 64 * 1024;

/// A datagram that came in; without its data, as they were too many for the socket's limit.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: SocketAddr,
    pub(crate) data: Option<Bytes>,
}

/// How a batch went.
#[derive(Debug)]
pub(crate) enum Received {
    /// There may be more.
    More,
    /// There was no more.
    All,
    /// Something failed after what was received.
    Failed(io::Error),
}

/// What the sockets of a thread receive into.
///
/// Datagrams arrive in slots, which have room for the largest one, and are copied from there into an arena, in which
/// they lie close together: a small one that is kept does not keep the room for a large one.
#[derive(Debug)]
pub(crate) struct Receiver {
    slots: Slots,
    arena: BytesMut,
    /// What was received and not yet delivered.
    pub(crate) inbox: Vec<Incoming>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Receiver {
            slots: Slots::new(),
            arena: BytesMut::with_capacity(ARENA),
            inbox: Vec::with_capacity(BATCH),
        }
    }

    /// Receives a batch into the inbox.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, is_v6: bool, limit: usize) -> Received {
        let (arena, inbox) = (&mut self.arena, &mut self.inbox);
        self.slots.receive(socket, is_v6, limit, |peer, data| {
            let data = (data.len() <= limit).then(|| {
                arena.extend_from_slice(data);
                arena.split().freeze()
            });
            inbox.push(Incoming { peer, data });
        })
    }
}

/// Sends datagrams from the front of the queue with one system call, and gives how many; at least one.
///
/// On a connected socket all go to its peer.
///
/// # Errors
/// What the system says about the first datagram, or on a connected socket about earlier ones.
pub(crate) fn send(
    socket: &UdpSocket,
    queue: &VecDeque<Outgoing>,
    is_connected: bool,
) -> io::Result<usize> {
    match queue.len() {
        0 => Ok(0),
        1 => send_first(socket, queue, is_connected),
        _ => system::send_batch(socket, queue, is_connected),
    }
}

/// Sends the first datagram of the queue, and gives 1.
///
/// # Errors
/// As [`send`].
pub(crate) fn send_first(
    socket: &UdpSocket,
    queue: &VecDeque<Outgoing>,
    is_connected: bool,
) -> io::Result<usize> {
    let Some(first) = queue.front() else {
        return Ok(0);
    };
    match is_connected {
        true => socket.send(&first.data)?,
        false => socket.send_to(&first.data, first.peer)?,
    };
    Ok(1)
}

#[cfg(test)]
mod tests;
