//! Linux: `recvmmsg` and `sendmmsg`, up to [`BATCH`] datagrams for each system call.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use super::{BATCH, MAX_DATAGRAM_SIZE, ReceiveOutcome};
use crate::queue::QueuedDatagram;

/// Buffers for a batch of incoming datagrams: 2 MiB, of which the system allocates only the pages that have been used.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers {
    bytes: Vec<u8>,
    // One for each family: an address is truncated to the length of the last one received into the same slot.
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        ReceiveBuffers {
            bytes: vec![0; BATCH * (MAX_DATAGRAM_SIZE + 1)],
            v4: MultiHeaders::preallocate(BATCH, None),
            v6: MultiHeaders::preallocate(BATCH, None),
        }
    }

    /// Receives a batch. A datagram over the limit is passed to `take` truncated to `limit + 1` bytes.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        is_v6: bool,
        limit: usize,
        take: impl FnMut(SocketAddr, &[u8]),
    ) -> ReceiveOutcome {
        let mut slots = self.bytes.chunks_exact_mut(limit + 1);
        let mut slots =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let result = match is_v6 {
            true => batch(socket, &mut self.v6, &mut slots, take),
            false => batch(socket, &mut self.v4, &mut slots, take),
        };
        // A batch that is not full means that the socket had no more datagrams.
        match result {
            Ok(BATCH) => ReceiveOutcome::More,
            Ok(_) => ReceiveOutcome::Drained,
            Err(error) if error.kind() == ErrorKind::WouldBlock => ReceiveOutcome::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => ReceiveOutcome::More,
            Err(error) => ReceiveOutcome::Failed(error),
        }
    }
}

fn batch<'a, A>(
    socket: &UdpSocket,
    headers: &'a mut MultiHeaders<A>,
    slots: &'a mut [[IoSliceMut<'a>; 1]; BATCH],
    mut take: impl FnMut(SocketAddr, &[u8]),
) -> io::Result<usize>
where
    A: SockaddrLike + Copy + Into<SocketAddr>,
{
    let messages = recvmmsg(
        socket.as_raw_fd(),
        headers,
        slots,
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    let mut count = 0;
    for message in messages {
        count += 1;
        if let Some(peer) = message.address {
            // An empty datagram has no slice.
            take(peer.into(), message.iovs().next().unwrap_or_default());
        }
    }
    Ok(count)
}

/// Sends up to [`BATCH`] datagrams. The batch ends before a datagram that fails; the next call reports its error.
pub(super) fn send_batch(
    socket: &UdpSocket,
    queue: &VecDeque<QueuedDatagram>,
    is_connected: bool,
) -> io::Result<usize> {
    let slices: [_; BATCH] = std::array::from_fn(|at| {
        IoSlice::new(queue.get(at).map_or(&[], |datagram| &datagram.data))
    });
    let addresses: [Option<SocketAddrAny>; BATCH] = std::array::from_fn(|at| {
        let datagram = queue.get(at).filter(|_| !is_connected)?;
        Some(datagram.peer.as_any())
    });
    let mut control: [_; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut messages = Vec::with_capacity(queue.len().min(BATCH));
    let parts = slices.chunks(1).zip(&addresses).zip(&mut control);
    for ((slice, address), control) in parts.take(queue.len()) {
        messages.push(match address {
            Some(address) => MMsgHdr::new_with_addr(address, slice, control),
            None => MMsgHdr::new(slice, control),
        });
    }
    Ok(sendmmsg(socket, &mut messages, SendFlags::DONTWAIT)?)
}
