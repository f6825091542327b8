//! System calls for datagrams: in batches on Linux, one by one on other systems.

#[cfg(target_os = "linux")]
mod batched;
// Compiled on Linux for its tests.
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

use crate::queue::QueuedDatagram;

pub(crate) use system::ReceiveBuffers;

/// Maximum size of a received datagram, in bytes.
pub(crate) const MAX_DATAGRAM_SIZE: usize = 65_535;

/// Maximum number of datagrams in a batch.
pub(crate) const BATCH: usize = 32;

/// Size of an arena chunk, in bytes. ReceiveOutcome datagrams are copied into the arena.
const ARENA_SIZE: usize = 64 * 1024;

/// A received datagram. `data` is `None` if it was larger than the socket's limit.
#[derive(Debug)]
pub(crate) struct ReceivedDatagram {
    pub(crate) peer: SocketAddr,
    pub(crate) data: Option<Bytes>,
}

/// The result of receiving a batch.
#[derive(Debug)]
pub(crate) enum ReceiveOutcome {
    /// The socket may have more datagrams.
    More,
    /// The socket has no more datagrams.
    Drained,
    /// Receiving failed after the datagrams that were returned.
    Failed(io::Error),
}

/// The receive buffers that the sockets of a thread share.
///
/// Datagrams are received into buffers of the maximum size and copied from there into an arena, where
/// they are densely packed. A small datagram that is kept therefore does not keep a large buffer alive.
#[derive(Debug)]
pub(crate) struct Receiver {
    slots: ReceiveBuffers,
    arena: BytesMut,
    /// Datagrams received but not yet delivered.
    pub(crate) inbox: Vec<ReceivedDatagram>,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Receiver {
            slots: ReceiveBuffers::new(),
            arena: BytesMut::with_capacity(ARENA_SIZE),
            inbox: Vec::with_capacity(BATCH),
        }
    }

    /// Receives a batch into the inbox.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        is_v6: bool,
        limit: usize,
    ) -> ReceiveOutcome {
        let (arena, inbox) = (&mut self.arena, &mut self.inbox);
        self.slots.receive(socket, is_v6, limit, |peer, data| {
            let data = (data.len() <= limit).then(|| {
                arena.extend_from_slice(data);
                arena.split().freeze()
            });
            inbox.push(ReceivedDatagram { peer, data });
        })
    }
}

/// Sends datagrams from the front of the queue with one system call, and returns their number, which is at least one.
///
/// On a connected socket all datagrams go to its peer.
///
/// # Errors
/// The system's error for the first datagram, or, on a connected socket, for an earlier one.
pub(crate) fn send(
    socket: &UdpSocket,
    queue: &VecDeque<QueuedDatagram>,
    is_connected: bool,
) -> io::Result<usize> {
    match queue.len() {
        0 => Ok(0),
        1 => send_first(socket, queue, is_connected),
        _ => system::send_batch(socket, queue, is_connected),
    }
}

/// Sends the first datagram of the queue, and returns 1.
///
/// # Errors
/// The errors of [`send`].
pub(crate) fn send_first(
    socket: &UdpSocket,
    queue: &VecDeque<QueuedDatagram>,
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
