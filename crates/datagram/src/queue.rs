//! The datagrams that wait to be sent, within limits.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

/// A datagram to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) data: Bytes,
    pub(crate) peer: SocketAddr,
}

/// A queue with a limit on the datagrams in it and one on their bytes.
#[derive(Debug)]
pub(crate) struct Queue {
    datagrams: VecDeque<Outgoing>,
    bytes: usize,
    max_datagrams: usize,
    max_bytes: usize,
    refused: bool,
}

/// An empty queue keeps storage for so many datagrams.
const KEPT: usize = 16;

impl Queue {
    pub(crate) const fn new(max_datagrams: usize, max_bytes: usize) -> Self {
        Queue {
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

    pub(crate) fn datagrams(&self) -> &VecDeque<Outgoing> {
        &self.datagrams
    }

    /// Adds a datagram, or hands it back when the queue is full. An empty queue takes any one datagram.
    pub(crate) fn push(&mut self, datagram: Outgoing) -> Result<(), Outgoing> {
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

    /// Moves the first `count` datagrams out, and gives their bytes.
    pub(crate) fn take(&mut self, count: usize, into: &mut Vec<Outgoing>) -> usize {
        let count = count.min(self.datagrams.len());
        let before = into.len();
        into.extend(self.datagrams.drain(..count));
        let bytes = into[before..].iter().map(|sent| sent.data.len()).sum();
        self.bytes -= bytes;
        if self.datagrams.is_empty() && self.datagrams.capacity() > KEPT {
            self.datagrams = VecDeque::new();
        }
        bytes
    }

    /// Whether a datagram was refused before and the queue is no more than half full now; says so once.
    pub(crate) fn has_drained(&mut self) -> bool {
        let has_room =
            self.datagrams.len() <= self.max_datagrams / 2 && self.bytes <= self.max_bytes / 2;
        has_room && std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(size: usize) -> Outgoing {
        Outgoing {
            data: vec![0; size].into(),
            peer: ([127, 0, 0, 1], 1).into(),
        }
    }

    fn take(queue: &mut Queue, count: usize) -> Vec<Outgoing> {
        let mut taken = Vec::new();
        queue.take(count, &mut taken);
        taken
    }

    #[test]
    fn it_refuses_more_datagrams_than_it_may_hold() {
        let mut queue = Queue::new(2, 1000);
        assert!(queue.push(datagram(1)).is_ok());
        assert!(queue.push(datagram(1)).is_ok());
        assert!(queue.push(datagram(1)).is_err());
        assert_eq!((queue.len(), queue.bytes()), (2, 2));
    }

    #[test]
    fn it_refuses_more_bytes_than_it_may_hold_but_takes_one_datagram_of_any_size() {
        let mut queue = Queue::new(10, 10);
        assert!(queue.push(datagram(20)).is_ok());
        assert!(queue.push(datagram(0)).is_err());
        assert_eq!(take(&mut queue, 5).len(), 1);
        assert!(queue.push(datagram(4)).is_ok());
        assert!(queue.push(datagram(6)).is_ok());
        assert!(queue.push(datagram(1)).is_err());
    }

    #[test]
    fn it_has_drained_once_when_half_empty_after_a_refusal() {
        let mut queue = Queue::new(4, 1000);
        while queue.push(datagram(1)).is_ok() {}
        take(&mut queue, 1);
        assert!(!queue.has_drained());
        take(&mut queue, 1);
        assert!(queue.has_drained());
        assert!(!queue.has_drained());
    }

    #[test]
    fn without_a_refusal_it_never_has_drained() {
        let mut queue = Queue::new(4, 1000);
        queue.push(datagram(1)).unwrap();
        take(&mut queue, 1);
        assert!(!queue.has_drained());
    }

    #[test]
    fn it_gives_its_storage_back_when_it_empties() {
        let mut queue = Queue::new(1000, 1000);
        while queue.push(datagram(1)).is_ok() {}
        take(&mut queue, 1000);
        assert_eq!((queue.datagrams.capacity(), queue.bytes()), (0, 0));
    }
}
