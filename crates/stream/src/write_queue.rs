//! The queue of unsent bytes of a stream.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::chunk::Chunk;

/// Maximum length of a chunk that is copied into the shared buffer, so that one system call sends several chunks.
pub(crate) const COPY_LIMIT: usize = 4096;

/// Maximum length of the shared buffer: a longer one would be moved as it grows.
const TAIL_LIMIT: usize = 64 * 1024;

/// The unsent bytes of a stream, in order.
///
/// Short chunks share a buffer; long chunks keep their own. The queue has no limit; the stream enforces one.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// The chunks that are sent first.
    segments: VecDeque<Bytes>,
    /// Copied chunks, sent after all segments.
    tail: Vec<u8>,
    /// The number of sent bytes in `tail`; 0 unless `segments` is empty.
    sent: usize,
    len: usize,
}

impl WriteQueue {
    /// Creates an empty queue; the first chunk allocates.
    pub const fn new() -> Self {
        WriteQueue {
            segments: VecDeque::new(),
            tail: Vec::new(),
            sent: 0,
            len: 0,
        }
    }

    /// Returns the number of queued bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if no bytes are queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a chunk.
    #[inline]
    pub fn push(&mut self, chunk: impl Chunk) {
        let slice = chunk.as_slice();
        let len = slice.len();
        self.len += len;
        if len > COPY_LIMIT {
            self.seal();
            self.segments.push_back(chunk.into_bytes());
            return;
        }
        if self.tail.len() + len > TAIL_LIMIT {
            self.seal();
        }
        self.tail.extend_from_slice(slice);
    }

    /// Calls `f` with a buffer and queues the bytes that it appends. The buffer may contain other bytes.
    #[inline]
    pub fn push_with<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.tail.len();
        let result = f(&mut self.tail);
        self.len += self.tail.len().saturating_sub(before);
        if self.tail.len() > TAIL_LIMIT {
            self.seal();
        }
        result
    }

    /// Moves all bytes of another queue to the end of this one.
    pub fn append(&mut self, other: &mut WriteQueue) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else if let Some(tail) = other.as_tail().filter(|tail| tail.len() <= COPY_LIMIT) {
            self.push(tail);
        } else {
            self.seal();
            other.seal();
            self.segments.append(&mut other.segments);
            self.len += other.len;
        }
        other.reset();
    }

    /// Returns the bytes in chunks, from the front.
    pub(crate) fn into_chunks(mut self) -> impl Iterator<Item = Bytes> {
        self.seal();
        self.segments.into_iter()
    }

    /// Removes `count` sent bytes from the front.
    #[inline]
    pub fn consume(&mut self, mut count: usize) {
        self.len = self.len.saturating_sub(count);
        while let Some(segment) = self.segments.front_mut() {
            if count < segment.len() {
                segment.advance(count);
                return;
            }
            count -= segment.len();
            self.segments.pop_front();
        }
        self.sent += count;
        if self.sent >= self.tail.len() {
            self.tail.clear();
            self.sent = 0;
        }
    }

    /// Returns the bytes if they are all in the shared buffer.
    #[inline]
    pub(crate) fn as_tail(&self) -> Option<&[u8]> {
        self.segments.is_empty().then(|| &self.tail[self.sent..])
    }

    /// Clears a queue whose bytes were all in the shared buffer and are sent.
    #[inline]
    pub(crate) fn clear_tail(&mut self) {
        self.tail.clear();
        self.sent = 0;
        self.len = 0;
    }

    /// Returns the bytes if they are contiguous.
    #[inline]
    pub fn as_single(&self) -> Option<&[u8]> {
        match (self.segments.len(), self.tail.is_empty()) {
            (0, _) => Some(&self.tail[self.sent..]),
            (1, true) => self.segments.front().map(|segment| &segment[..]),
            _ => None,
        }
    }

    /// Returns the first chunk; empty if the queue is empty.
    #[inline]
    pub fn front(&self) -> &[u8] {
        match self.segments.front() {
            Some(segment) => segment,
            None => &self.tail[self.sent..],
        }
    }

    /// Stores the first chunks in `slices`; returns the number of chunks stored.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.sent..];
        let pieces = self
            .segments
            .iter()
            .map(|segment| &segment[..])
            .chain((!tail.is_empty()).then_some(tail));
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Returns up to `limit` chunks from the front, for a thread that sends them.
    pub(crate) fn share(&mut self, limit: usize) -> Vec<Bytes> {
        self.seal();
        self.segments.iter().take(limit).cloned().collect()
    }

    /// Prepares the queue for another stream.
    #[inline]
    pub(crate) fn reset(&mut self) {
        if self.len > 0 || self.tail.capacity() > TAIL_LIMIT || self.segments.capacity() > 64 {
            self.clear();
        }
    }

    /// Discards everything; keeps a buffer of normal size for the next use.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.tail.clear();
        self.sent = 0;
        self.len = 0;
        if self.tail.capacity() > TAIL_LIMIT {
            self.tail = Vec::new();
        }
        if self.segments.capacity() > 64 {
            self.segments = VecDeque::new();
        }
    }

    /// Turns the shared buffer into a segment, so that a segment can follow it.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let mut tail = Bytes::from(std::mem::take(&mut self.tail));
        tail.advance(self.sent);
        self.sent = 0;
        self.segments.push_back(tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_chunks_share_a_buffer_and_a_long_chunk_keeps_its_own() {
        let mut queue = WriteQueue::new();
        queue.push("a");
        queue.push("b".to_owned());
        assert_eq!(queue.as_single(), Some(&b"ab"[..]));
        queue.push(vec![b'c'; COPY_LIMIT + 1]);
        queue.push("d");
        assert_eq!(queue.as_single(), None);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(queue.slices(&mut slices), 3);
        assert_eq!(queue.len(), COPY_LIMIT + 4);
    }

    #[test]
    fn a_long_owned_chunk_is_not_copied() {
        let mut queue = WriteQueue::new();
        let chunk = Bytes::from(vec![1; 2 * COPY_LIMIT]);
        let address = chunk.as_ptr();
        queue.push(chunk);
        assert_eq!(queue.as_single().map(<[u8]>::as_ptr), Some(address));
    }

    #[derive(Clone, Debug)]
    enum QueueOperation {
        Push(usize),
        Consume(usize),
        Clear,
    }

    fn operations() -> impl Strategy<Value = Vec<QueueOperation>> {
        let operation = prop_oneof![
            4 => (0..3 * COPY_LIMIT).prop_map(QueueOperation::Push),
            2 => (TAIL_LIMIT - 10..TAIL_LIMIT + 10).prop_map(QueueOperation::Push),
            4 => (0..4 * COPY_LIMIT).prop_map(QueueOperation::Consume),
            1 => Just(QueueOperation::Clear),
        ];
        prop::collection::vec(operation, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn bytes_leave_the_queue_in_the_order_of_the_writes(operations in operations()) {
            let mut queue = WriteQueue::new();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut next = 0_u8;
            for operation in operations {
                match operation {
                    QueueOperation::Push(len) => {
                        let chunk: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                        model.extend(&chunk);
                        if next.is_multiple_of(2) { queue.push(chunk) } else { queue.push(&chunk) }
                    }
                    QueueOperation::Consume(len) => {
                        let len = len.min(queue.len());
                        queue.consume(len);
                        model.drain(..len);
                    }
                    QueueOperation::Clear => { queue.clear(); model.clear(); }
                }
                prop_assert_eq!(queue.len(), model.len());
                let mut slices = [IoSlice::new(&[]); 64];
                let count = queue.slices(&mut slices);
                let found: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                prop_assert!(found.iter().eq(model.iter()), "the bytes differ");
                if let Some(single) = queue.as_single() {
                    prop_assert_eq!(single.len(), model.len());
                }
            }
        }
    }
}
