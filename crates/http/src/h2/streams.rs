//! The open streams of a connection, by identifier.

use super::priority::{Priority, URGENCIES};
use super::window::{ReceiveWindow, SendWindow};

/// The key of a stream of a [`Connection`](super::Connection).
///
/// It is stale after the stream was removed, as identifiers are not reused; then all methods that take it do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(super) id: u32,
}

impl StreamKey {
    /// Returns the stream identifier (RFC 9113, section 5.1.1).
    pub fn id(self) -> u32 {
        self.id
    }
}

bitflags::bitflags! {
    /// The state of a stream.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct StreamFlags: u16 {
        /// The peer has sent END_STREAM.
        const PEER_ENDED = 1 << 0;
        /// END_STREAM was sent.
        const ENDED = 1 << 1;
        /// The stream was reset by one of the two.
        const RESET = 1 << 2;
        /// The final head was sent.
        const HEAD_SENT = 1 << 3;
        /// The final head was received.
        const HEAD_RECEIVED = 1 << 4;
        /// The program does not want the rest of the body.
        const DISCARDS = 1 << 5;
        /// A tunnel: CONNECT, or extended CONNECT.
        const TUNNEL = 1 << 6;
        /// The request has the method `HEAD`.
        const TO_HEAD = 1 << 7;
        /// The program has data to send.
        const PENDING = 1 << 8;
        /// The stream is in the queue of its urgency: it is pending, and its window is open.
        const QUEUED = 1 << 9;
    }
}

/// The length of a body that is not known.
pub(super) const UNKNOWN_LENGTH: u64 = u64::MAX;

/// A stream, or a free slot.
#[derive(Debug)]
pub(super) struct Stream<T> {
    /// 0 for a free slot.
    pub(super) id: u32,
    pub(super) flags: StreamFlags,
    pub(super) priority: Priority,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Body bytes to be received, or [`UNKNOWN_LENGTH`].
    pub(super) receive_left: u64,
    /// Body bytes to be sent, or [`UNKNOWN_LENGTH`].
    pub(super) send_left: u64,
    /// Neighbours in the queue of pending streams, or 0.
    pub(super) previous: u32,
    pub(super) next: u32,
    pub(super) data: Option<T>,
}

impl<T> Stream<T> {
    pub(super) fn new(id: u32, send_window: u32, receive_window: u32) -> Stream<T> {
        Stream {
            id,
            flags: StreamFlags::empty(),
            priority: Priority::UNKNOWN,
            send_window: SendWindow::new(send_window),
            receive_window: ReceiveWindow::new(receive_window),
            receive_left: UNKNOWN_LENGTH,
            send_left: UNKNOWN_LENGTH,
            previous: 0,
            next: 0,
            data: None,
        }
    }

    pub(super) fn key(&self) -> StreamKey {
        StreamKey { id: self.id }
    }

    #[inline]
    pub(super) fn has(&self, flag: StreamFlags) -> bool {
        self.flags.intersects(flag)
    }
}

/// The queues of the streams that can be sent, one for each urgency. The streams of a queue are linked with each other.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) ends: [QueueEnds; URGENCIES],
    /// A bit for each queue that is not empty.
    pub(super) used: u8,
}

/// The identifiers of the first and the last stream of a queue, or 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueEnds {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Number of slots of the smallest table.
const FEWEST_SLOTS: usize = 2;

/// A hash table of streams with open addressing.
///
/// Consecutive identifiers have consecutive slots, so that a look-up nearly always finds its stream in the first slot.
#[derive(Debug)]
pub(super) struct StreamTable<T> {
    /// Empty, or a power of two, of which at least one eighth is free.
    slots: Vec<Stream<T>>,
    open: u32,
    /// Maximum distance of a stream from its first slot.
    distance: u32,
    pub(super) queues: Queues,
}

impl<T> StreamTable<T> {
    pub(super) fn new() -> StreamTable<T> {
        StreamTable {
            slots: Vec::new(),
            open: 0,
            distance: 0,
            queues: Queues::default(),
        }
    }

    /// Returns the number of open streams.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open as usize
    }

    #[inline]
    fn position(&self, id: u32) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let first = id as usize / 2;
        (0..=self.distance as usize)
            .map(|probe| first.wrapping_add(probe) & mask)
            .find(|&place| self.slots.get(place).is_some_and(|slot| slot.id == id))
            .filter(|_| id != 0)
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&Stream<T>> {
        self.slots.get(self.position(id)?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream<T>> {
        let place = self.position(id)?;
        self.slots.get_mut(place)
    }

    /// Adds a stream whose identifier is not in the table.
    pub(super) fn insert(&mut self, stream: Stream<T>) {
        if (self.len() + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        self.place(stream);
        self.open += 1;
    }

    #[inline]
    fn place(&mut self, stream: Stream<T>) {
        let mask = self.slots.len().wrapping_sub(1);
        let first = stream.id as usize / 2;
        let mut probe = 0;
        while let Some(slot) = self.slots.get_mut(first.wrapping_add(probe) & mask) {
            if slot.id == 0 {
                *slot = stream;
                self.distance = self.distance.max(probe as u32);
                return;
            }
            probe += 1;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(FEWEST_SLOTS);
        let slots = std::mem::take(&mut self.slots);
        self.slots.resize_with(size, || Stream::new(0, 0, 0));
        self.distance = 0;
        for stream in slots {
            if stream.id != 0 {
                self.place(stream);
            }
        }
    }

    /// Removes a stream that is not queued, and returns its data.
    #[inline]
    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let stream = self.get_mut(id)?;
        stream.id = 0;
        let data = stream.data.take();
        self.open -= 1;
        if self.open == 0 {
            self.distance = 0;
        }
        data
    }

    /// Frees the memory of the table if no stream is open.
    pub(super) fn shrink(&mut self) {
        if self.open == 0 {
            self.slots = Vec::new();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream<T>> {
        self.slots.iter().filter(|stream| stream.id != 0)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream<T>> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn stream(id: u32) -> Stream<u32> {
        let mut stream = Stream::new(id, 0, 0);
        stream.data = Some(id);
        stream
    }

    proptest! {
        #[test]
        fn a_table_contains_the_same_streams_as_a_map(
            steps in prop::collection::vec((any::<bool>(), 1u32..400, 1u32..3), 1..400),
        ) {
            let mut table = StreamTable::new();
            let mut map = BTreeMap::new();
            for (adds, id, stride) in steps {
                let id = id * stride;
                if adds && !map.contains_key(&id) {
                    table.insert(stream(id));
                    map.insert(id, id);
                } else {
                    prop_assert_eq!(table.remove(id), map.remove(&id));
                }
                prop_assert_eq!(table.len(), map.len());
                prop_assert_eq!(table.get(id).map(|stream| stream.id), map.get(&id).copied());
            }
            let mut open: Vec<_> = table.iter().map(|stream| stream.id).collect();
            open.sort_unstable();
            prop_assert_eq!(open, map.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn consecutive_streams_are_found_in_their_first_slot_and_slots_are_reused() {
        let mut table = StreamTable::new();
        for id in (1..20_001).step_by(2) {
            table.insert(stream(id));
            if id > 20 {
                assert_eq!(table.remove(id - 20), Some(id - 20));
            }
            assert_eq!((table.distance, table.slots.len().max(16)), (0, 16));
        }
        assert_eq!(table.len(), 10);
        table.shrink();
        assert_eq!(table.slots.len(), 16);
        for id in (19_981..20_001).step_by(2) {
            assert_eq!(table.remove(id), Some(id));
        }
        table.shrink();
        assert!(table.slots.is_empty() && table.get(1).is_none() && table.get(0).is_none());
    }
}
