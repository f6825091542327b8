//! Systems without batches: a system call for each datagram.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

use super::{BATCH, LARGEST, Received};
use crate::queue::Outgoing;

/// Room for one incoming datagram: 64 KiB.
#[derive(Debug)]
pub(crate) struct Slots {
    bytes: Vec<u8>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots {
            bytes: vec![0; LARGEST + 1],
        }
    }

    /// Receives a batch; a datagram over the limit is handed out with one byte more than that.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        _is_v6: bool,
        limit: usize,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> Received {
        let slot = &mut self.bytes[..=limit];
        for _ in 0..BATCH {
            match socket.recv_from(slot) {
                Ok((size, peer)) => take(peer, &slot[..size]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::All,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Received::Failed(error),
            }
        }
        Received::More
    }
}

/// Sends the first datagram.
pub(super) fn send_batch(
    socket: &UdpSocket,
    queue: &VecDeque<Outgoing>,
    is_connected: bool,
) -> io::Result<usize> {
    super::send_first(socket, queue, is_connected)
}
