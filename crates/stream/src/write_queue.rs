//! The bytes of a stream that wait to be sent, in order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::chunk::Chunk;

/// Chunks up to this many bytes are copied behind one another, so that one system call sends them.
pub(crate) const COPIED: usize = 4096;

/// Copied bytes are closed off at this length: longer runs would be moved as they grow.
const RUN: usize = 64 * 1024;

/// The bytes of a stream that wait to be sent.
///
/// Short chunks share a buffer; long ones keep their own. It knows no limit: the stream does.
#[derive(Debug, Default)]
pub struct WriteQueue {
    /// What goes first.
    segments: VecDeque<Bytes>,
    /// Copied chunks, behind all segments.
    run: Vec<u8>,
    /// How much of `run` is sent; nothing unless there are no segments.
    sent: usize,
    len: usize,
}

impl WriteQueue {
    /// Makes an empty queue; it allocates with the first chunk.
    pub const fn new() -> Self {
        WriteQueue {
            segments: VecDeque::new(),
            run: Vec::new(),
            sent: 0,
            len: 0,
        }
    }

    /// How many bytes wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
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
        if len > COPIED {
            self.seal();
            self.segments.push_back(chunk.into_bytes());
            return;
        }
        if self.run.len() + len > RUN {
            self.seal();
        }
        self.run.extend_from_slice(slice);
    }

    /// Appends what `f` appends to a buffer that may have bytes in it.
    #[inline]
    pub fn push_with<R>(&mut self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.run.len();
        let result = f(&mut self.run);
        self.len += self.run.len().saturating_sub(before);
        if self.run.len() > RUN {
            self.seal();
        }
        result
    }

    /// Moves everything from another queue behind what is in this one.
    pub fn append(&mut self, other: &mut WriteQueue) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else if let Some(run) = other.as_run().filter(|run| run.len() <= COPIED) {
            self.push(run);
        } else {
            self.seal();
            other.seal();
            self.segments.append(&mut other.segments);
            self.len += other.len;
        }
        other.reset();
    }

    /// The bytes in pieces, from the front.
    pub(crate) fn into_chunks(mut self) -> impl Iterator<Item = Bytes> {
        self.seal();
        self.segments.into_iter()
    }

    /// Takes bytes that were sent off the front.
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
        if self.sent >= self.run.len() {
            self.run.clear();
            self.sent = 0;
        }
    }

    /// The bytes, when they were all copied into one piece.
    #[inline]
    pub(crate) fn as_run(&self) -> Option<&[u8]> {
        self.segments.is_empty().then(|| &self.run[self.sent..])
    }

    /// Empties a queue whose bytes were all copied into one piece and are sent.
    #[inline]
    pub(crate) fn clear_run(&mut self) {
        self.run.clear();
        self.sent = 0;
        self.len = 0;
    }

    /// The bytes, when they are in one piece.
    #[inline]
    pub fn as_single(&self) -> Option<&[u8]> {
        match (self.segments.len(), self.run.is_empty()) {
            (0, _) => Some(&self.run[self.sent..]),
            (1, true) => self.segments.front().map(|segment| &segment[..]),
            _ => None,
        }
    }

    /// Lists the pieces from the front; gives how many there are in `slices`.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let run = &self.run[self.sent..];
        let pieces = self
            .segments
            .iter()
            .map(|segment| &segment[..])
            .chain((!run.is_empty()).then_some(run));
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// The pieces from the front, `most` of them, for a thread that sends them.
    pub(crate) fn share(&mut self, most: usize) -> Vec<Bytes> {
        self.seal();
        self.segments.iter().take(most).cloned().collect()
    }

    /// Makes the queue as good as new for another stream.
    #[inline]
    pub(crate) fn reset(&mut self) {
        if self.len > 0 || self.run.capacity() > RUN || self.segments.capacity() > 64 {
            self.clear();
        }
    }

    /// Discards everything; keeps a buffer of ordinary size for the next use.
    pub fn clear(&mut self) {
        self.segments.clear();
        self.run.clear();
        self.sent = 0;
        self.len = 0;
        if self.run.capacity() > RUN {
            self.run = Vec::new();
        }
        if self.segments.capacity() > 64 {
            self.segments = VecDeque::new();
        }
    }

    /// Makes the copied bytes a segment, so that something may follow them.
    fn seal(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let mut run = Bytes::from(std::mem::take(&mut self.run));
        run.advance(self.sent);
        self.sent = 0;
        self.segments.push_back(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_chunks_share_one_piece_and_a_long_one_stands_alone() {
        let mut queue = WriteQueue::new();
        queue.push("a");
        queue.push("b".to_owned());
        assert_eq!(queue.as_single(), Some(&b"ab"[..]));
        queue.push(vec![b'c'; COPIED + 1]);
        queue.push("d");
        assert_eq!(queue.as_single(), None);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(queue.slices(&mut slices), 3);
        assert_eq!(queue.len(), COPIED + 4);
    }

    #[test]
    fn a_long_owned_chunk_is_not_copied() {
        let mut queue = WriteQueue::new();
        let chunk = Bytes::from(vec![1; 2 * COPIED]);
        let address = chunk.as_ptr();
        queue.push(chunk);
        assert_eq!(queue.as_single().map(<[u8]>::as_ptr), Some(address));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Consume(usize),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..3 * COPIED).prop_map(Step::Push),
            2 => (RUN - 10..RUN + 10).prop_map(Step::Push),
            4 => (0..4 * COPIED).prop_map(Step::Consume),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn bytes_come_out_as_they_went_in(steps in steps()) {
            let mut queue = WriteQueue::new();
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut next = 0_u8;
            for step in steps {
                match step {
                    Step::Push(len) => {
                        let chunk: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                        model.extend(&chunk);
                        if next.is_multiple_of(2) { queue.push(chunk) } else { queue.push(&chunk) }
                    }
                    Step::Consume(len) => {
                        let len = len.min(queue.len());
                        queue.consume(len);
                        model.drain(..len);
                    }
                    Step::Clear => { queue.clear(); model.clear(); }
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
