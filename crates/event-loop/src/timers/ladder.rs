//! A priority queue for very many timers: a ladder queue.
//!
//! A heap of a million entries misses the cache at every level of every pop. A ladder queue keeps only
//! the earliest entries in a heap, small enough for the first-level cache, and all later entries in
//! unsorted buckets, where adding one costs one append. When the heap is empty, the next bucket is processed: a
//! small bucket becomes the heap, a large one is spread over the finer buckets of a new rung. So an
//! entry is moved a few times in total, always sequentially, and a queue that never grows large
//! is a plain heap. After W. T. Tang, R. S. M. Goh and I. L.-J. Thng, "Ladder queue: An O(1)
//! priority queue structure for large-scale discrete event simulation" (2005).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;

use crate::table::Id;

/// The number of buckets of a rung.
const BUCKETS: usize = 64;

/// The maximum number of entries of a bucket that becomes the heap; a larger bucket is spread over a new rung. 512 entries of 24 bytes
/// leave room in a first-level cache for the data of the callbacks.
const MAX_BUCKET: usize = 512;

/// An armed timer in the queue: its deadline, its sequence number for the order among equal deadlines, and its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueuedTimer {
    pub(super) deadline: u64,
    pub(super) seq: u64,
    pub(super) id: Id,
}

impl QueuedTimer {
    /// Returns the sort key of the queue: by deadline, and equal deadlines by sequence number.
    fn key(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.seq)
    }
}

/// Reversed, because the standard library's heap pops the greatest entry first.
impl Ord for QueuedTimer {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for QueuedTimer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for QueuedTimer {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for QueuedTimer {}

/// The queue. Its earliest entry is always in `near`, so that peeking is free.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Every entry below the `reach` of the last rung.
    near: BinaryHeap<QueuedTimer>,
    /// The rungs, from the latest entries to the earliest. The `reach` of a rung is at most that of the previous
    /// rung, and its entries lie between the two.
    rungs: Vec<Rung>,
    len: usize,
    max_bucket: usize,
}

/// A range of keys, divided evenly into buckets. The last bucket also contains the keys after the range.
#[derive(Debug)]
struct Rung {
    start: u128,
    /// The width of a bucket: `1 << shift` keys.
    shift: u32,
    /// The next bucket to process. The buckets before it are empty.
    next: usize,
    /// The lowest key that this rung accepts.
    reach: u128,
    buckets: Vec<Vec<QueuedTimer>>,
}

impl Ladder {
    pub(super) fn new() -> Self {
        Self::with_max_bucket(MAX_BUCKET)
    }

    /// Creates a queue with another maximum bucket size, so that tests reach the rungs.
    pub(super) fn with_max_bucket(max_bucket: usize) -> Self {
        Self {
            near: BinaryHeap::new(),
            rungs: Vec::new(),
            len: 0,
            max_bucket,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Counts the entries, and the entries for which memory is allocated.
    #[cfg(test)]
    pub(super) fn measure(&self) -> (usize, usize) {
        let buckets = self.rungs.iter().flat_map(|rung| &rung.buckets);
        buckets.fold(
            (self.near.len(), self.near.capacity()),
            |(len, capacity), bucket| (len + bucket.len(), capacity + bucket.capacity()),
        )
    }

    /// Returns the earliest entry.
    pub(super) fn peek(&self) -> Option<&QueuedTimer> {
        self.near.peek()
    }

    pub(super) fn push(&mut self, entry: QueuedTimer) {
        self.len += 1;
        let key = entry.key();
        let rung = self.rungs.partition_point(|rung| rung.reach > key);
        if let Some(rung) = self.rungs.get_mut(rung) {
            rung.push(entry);
            return;
        }
        self.near.push(entry);
        if self.near.len() > 2 * self.max_bucket {
            let entries = mem::take(&mut self.near).into_vec();
            self.spread(entries);
            self.refill(|_| true);
        }
    }

    /// Removes and returns the earliest entry.
    ///
    /// Entries that fail `keep` may be dropped. `keep` is called for a whole bucket at once, so that
    /// the processor fetches the data it depends on in parallel, shortly before it is needed.
    pub(super) fn pop(&mut self, keep: impl FnMut(&QueuedTimer) -> bool) -> Option<QueuedTimer> {
        let entry = self.near.pop()?;
        self.len -= 1;
        self.refill(keep);
        Some(entry)
    }

    /// Drops every entry that fails `keep`, and its memory.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&QueuedTimer) -> bool) {
        self.near.retain(&mut keep);
        self.len = self.near.len();
        for rung in &mut self.rungs {
            self.len += rung.retain(&mut keep);
        }
        // The range of a removed rung is covered by the next rung, or by the heap.
        self.rungs
            .retain(|rung| rung.buckets.iter().any(|bucket| !bucket.is_empty()));
        self.refill(|_| true);
    }

    /// Ensures that the earliest entry is in `near`.
    fn refill(&mut self, mut keep: impl FnMut(&QueuedTimer) -> bool) {
        while self.near.is_empty() {
            let Some((rung, coarser)) = self.rungs.split_last_mut() else {
                return;
            };
            let mut bucket = rung.take_next(coarser.last().map_or(u128::MAX, |rung| rung.reach));
            if rung.next == BUCKETS {
                self.rungs.pop();
            }
            if bucket.len() > self.max_bucket {
                self.spread(bucket);
            } else {
                let all = bucket.len();
                bucket.retain(&mut keep);
                self.len -= all - bucket.len();
                self.near = BinaryHeap::from(bucket);
            }
        }
    }

    /// Adds a new last rung of entries that are all below the `reach` of the current one.
    fn spread(&mut self, entries: Vec<QueuedTimer>) {
        let (start, end) = entries.iter().fold((u128::MAX, 0), |(start, end), entry| {
            (start.min(entry.key()), end.max(entry.key()))
        });
        let width = u128::BITS - end.saturating_sub(start).leading_zeros();
        let shift = width.saturating_sub(BUCKETS.ilog2());
        let mut buckets = Vec::new();
        buckets.resize_with(BUCKETS, Vec::new);
        let mut rung = Rung {
            start,
            shift,
            next: 0,
            reach: start,
            buckets,
        };
        for entry in entries {
            rung.push(entry);
        }
        self.rungs.push(rung);
    }
}

impl Rung {
    /// Adds an entry, whose key must be at least `start`.
    fn push(&mut self, entry: QueuedTimer) {
        let bucket = (entry.key() - self.start) >> self.shift;
        let bucket = usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1));
        self.buckets[bucket].push(entry);
    }

    /// Takes the entries of the first bucket that is not empty. From then on, the rung accepts only keys
    /// of the buckets after it, and no keys from `limit` on, which the coarser rung accepts.
    fn take_next(&mut self, limit: u128) -> Vec<QueuedTimer> {
        while self.next < BUCKETS {
            let bucket = mem::take(&mut self.buckets[self.next]);
            self.next += 1;
            if !bucket.is_empty() {
                let reach = self.start.saturating_add((self.next as u128) << self.shift);
                self.reach = reach.min(limit);
                return bucket;
            }
        }
        Vec::new()
    }

    /// Keeps the entries for which `keep` returns `true`, and returns their number.
    fn retain(&mut self, mut keep: impl FnMut(&QueuedTimer) -> bool) -> usize {
        let mut len = 0;
        for bucket in &mut self.buckets {
            bucket.retain(&mut keep);
            if bucket.capacity() > 4 * bucket.len() {
                bucket.shrink_to_fit();
            }
            len += bucket.len();
        }
        len
    }
}
