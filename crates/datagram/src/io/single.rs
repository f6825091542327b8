//! System calls for systems without batches: one call for each datagram.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use super::{BATCH, MAX_DATAGRAM_SIZE, ReceiveOutcome};
use crate::queue::QueuedDatagram;

/// Buffer for one incoming datagram: 64 KiB.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        ReceiveBuffers {
            bytes: vec![0; MAX_DATAGRAM_SIZE + 1],
        }
    }

    /// Receives a batch. A datagram over the limit is passed to `take` truncated to `limit + 1` bytes.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        _is_v6: bool,
        limit: usize,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> ReceiveOutcome {
        let slot = &mut self.bytes[..=limit];
        for _ in 0..BATCH {
            match socket.recv_from(slot) {
                Ok((size, peer)) => take(peer, &slot[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return ReceiveOutcome::Drained;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return ReceiveOutcome::Failed(error),
            }
        }
        ReceiveOutcome::More
    }
}

/// Sends the first datagram of the queue.
pub(super) fn send_batch(
    socket: &UdpSocket,
    queue: &VecDeque<QueuedDatagram>,
    is_connected: bool,
) -> io::Result<usize> {
    super::send_first(socket, queue, is_connected)
}
