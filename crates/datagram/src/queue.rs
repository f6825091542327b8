//! The bounded queue of datagrams to send.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

/// A datagram to be sent.
#[derive(Debug)]
pub(crate) struct QueuedDatagram {
    pub(crate) data: Bytes,
    pub(crate) peer: SocketAddr,
}

/// A queue with a limit on the datagrams in it and one on their bytes.
#[derive(Debug)]
pub(crate) struct SendQueue {
    datagrams: VecDeque<QueuedDatagram>,
    bytes: usize,
    max_datagrams: usize,
    max_bytes: usize,
    refused: bool,
}

/// The capacity that an empty queue retains, in datagrams.
const RETAINED_CAPACITY: usize = 16;

impl SendQueue {
    pub(crate) const fn new(max_datagrams: usize, max_bytes: usize) -> Self {
        SendQueue {
            datagrams: VecDeque::new(),
            bytes: 0,
            max_datagrams,
            max_bytes,
            refused: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    pub(crate) fn datagrams(&self) -> &VecDeque<QueuedDatagram> {
        &self.datagrams
    }

    /// Adds a datagram, or returns it if the queue is full. An empty queue accepts one datagram of any size.
    pub(crate) fn push(&mut self, datagram: QueuedDatagram) -> Result<(), QueuedDatagram> {
        let bytes = self.bytes + datagram.data.len();
        let is_full = self.datagrams.len() >= self.max_datagrams || bytes > self.max_bytes;
        if is_full && !self.datagrams.is_empty() {
            self.refused = true;
            return Err(datagram);
        }
        self.bytes = bytes;
        self.datagrams.push_back(datagram);
        Ok(())
    }

    /// Moves the first `count` datagrams to `into`, and returns the sum of their sizes in bytes.
    pub(crate) fn take(&mut self, count: usize, into: &mut Vec<QueuedDatagram>) -> usize {
        let count = count.min(self.datagrams.len());
        let before = into.len();
        into.extend(self.datagrams.drain(..count));
        let bytes = into[before..].iter().map(|sent| sent.data.len()).sum();
        self.bytes -= bytes;
        if self.datagrams.is_empty() && self.datagrams.capacity() > RETAINED_CAPACITY {
            self.datagrams = VecDeque::new();
        }
        bytes
    }

    /// Returns `true` if a datagram was refused before and the queue is at most half full now. Resets the refusal.
    pub(crate) fn has_drained(&mut self) -> bool {
        let has_room =
            self.datagrams.len() <= self.max_datagrams / 2 && self.bytes <= self.max_bytes / 2;
        has_room && std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(size: usize) -> QueuedDatagram {
        QueuedDatagram {
            data: vec![0; size].into(),
            peer: ([127, 0, 0, 1], 1).into(),
        }
    }

    fn take(queue: &mut SendQueue, count: usize) -> Vec<QueuedDatagram> {
        let mut taken = Vec::new();
        queue.take(count, &mut taken);
        taken
    }

    #[test]
    fn it_refuses_more_datagrams_than_it_may_hold() {
        let mut queue = SendQueue::new(2, 1000);
        assert!(queue.push(datagram(1)).is_ok());
        assert!(queue.push(datagram(1)).is_ok());
        assert!(queue.push(datagram(1)).is_err());
        assert_eq!((queue.len(), queue.bytes()), (2, 2));
    }

    #[test]
    fn it_refuses_more_bytes_than_it_may_hold_but_accepts_one_datagram_of_any_size() {
        let mut queue = SendQueue::new(10, 10);
        assert!(queue.push(datagram(20)).is_ok());
        assert!(queue.push(datagram(0)).is_err());
        assert_eq!(take(&mut queue, 5).len(), 1);
        assert!(queue.push(datagram(4)).is_ok());
        assert!(queue.push(datagram(6)).is_ok());
        assert!(queue.push(datagram(1)).is_err());
    }

    #[test]
    fn it_has_drained_once_when_half_empty_after_a_refusal() {
        let mut queue = SendQueue::new(4, 1000);
        while queue.push(datagram(1)).is_ok() {}
        take(&mut queue, 1);
        assert!(!queue.has_drained());
        take(&mut queue, 1);
        assert!(queue.has_drained());
        assert!(!queue.has_drained());
    }

    #[test]
    fn without_a_refusal_it_never_has_drained() {
        let mut queue = SendQueue::new(4, 1000);
        queue.push(datagram(1)).unwrap();
        take(&mut queue, 1);
        assert!(!queue.has_drained());
    }

    #[test]
    fn it_releases_its_storage_when_it_empties() {
        let mut queue = SendQueue::new(1000, 1000);
        while queue.push(datagram(1)).is_ok() {}
        take(&mut queue, 1000);
        assert_eq!((queue.datagrams.capacity(), queue.bytes()), (0, 0));
    }
}
