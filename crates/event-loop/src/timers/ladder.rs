//! A priority queue for very many timers: a ladder queue.
//!
//! A heap of a million entries misses the cache at every level of every pop. The ladder keeps only
//! the earliest entries in a heap, small enough for the first-level cache, and all later ones in
//! unsorted buckets, which cost one append each. A bucket is looked into when its turn comes: a
//! small one becomes the heap, a crowded one is spread over the finer buckets of a new rung. So an
//! entry is moved a few times in its life, always in sequence, and a queue that never grows large
//! is a plain heap. After W. T. Tang, R. S. M. Goh and I. L.-J. Thng, "Ladder queue: An O(1)
//! priority queue structure for large-scale discrete event simulation" (2005).

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;

use crate::table::Id;

/// A rung's number of buckets.
const BUCKETS: usize = 64;

/// A bucket with more entries than this is spread over a new rung: 512 entries of 24 bytes leave
/// room in a first-level cache for what the callbacks touch.
const CROWD: usize = 512;

/// One armed timer in the queue: its deadline, its place among equal deadlines, and its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) deadline: u64,
    pub(super) seq: u64,
    pub(super) id: Id,
}

impl Entry {
    /// The order of the queue in one number: by deadline, equal deadlines by sequence.
    fn key(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.seq)
    }
}

/// Reversed, because the standard library's heap gives the greatest first.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

/// The queue. Its earliest entry is always in `near`, so looking at it costs nothing.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Every entry below the reach of the last rung.
    near: BinaryHeap<Entry>,
    /// From the latest entries to the earliest; each rung's `reach` is at most that of the one
    /// before, and its entries lie between the two.
    rungs: Vec<Rung>,
    len: usize,
    crowd: usize,
}

/// A range of keys, divided evenly. The last bucket also takes what lies behind the range.
#[derive(Debug)]
struct Rung {
    start: u128,
    /// A bucket is `1 << shift` keys wide.
    shift: u32,
    /// The buckets before this one are used up.
    next: usize,
    /// The least key that this rung still accepts.
    reach: u128,
    buckets: Vec<Vec<Entry>>,
}

impl Ladder {
    pub(super) fn new() -> Self {
        Self::with_crowd(CROWD)
    }

    /// A queue that calls more than `crowd` entries crowded, so that tests reach the rungs.
    pub(super) fn with_crowd(crowd: usize) -> Self {
        Self {
            near: BinaryHeap::new(),
            rungs: Vec::new(),
            len: 0,
            crowd,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many entries there are, counted, and how many there is memory for.
    #[cfg(test)]
    pub(super) fn measure(&self) -> (usize, usize) {
        let buckets = self.rungs.iter().flat_map(|rung| &rung.buckets);
        buckets.fold(
            (self.near.len(), self.near.capacity()),
            |(len, capacity), bucket| (len + bucket.len(), capacity + bucket.capacity()),
        )
    }

    /// The earliest entry.
    pub(super) fn peek(&self) -> Option<&Entry> {
        self.near.peek()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.len += 1;
        let key = entry.key();
        let rung = self.rungs.partition_point(|rung| rung.reach > key);
        if let Some(rung) = self.rungs.get_mut(rung) {
            rung.push(entry);
            return;
        }
        self.near.push(entry);
        if self.near.len() > 2 * self.crowd {
            let crowded = mem::take(&mut self.near).into_vec();
            self.spread(crowded);
            self.refill(|_| true);
        }
    }

    /// Takes out the earliest entry.
    ///
    /// Entries not worth keeping may be dropped on the way. Asking about a whole bucket at once
    /// lets the processor fetch what the answers depend on in parallel, just before it is needed.
    pub(super) fn pop(&mut self, keep: impl FnMut(&Entry) -> bool) -> Option<Entry> {
        let entry = self.near.pop()?;
        self.len -= 1;
        self.refill(keep);
        Some(entry)
    }

    /// Drops every entry that is not worth keeping, and the memory it took.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        self.near.retain(&mut keep);
        self.len = self.near.len();
        for rung in &mut self.rungs {
            self.len += rung.retain(&mut keep);
        }
        // A rung's range falls to the rung after it, or to the heap.
        self.rungs
            .retain(|rung| rung.buckets.iter().any(|bucket| !bucket.is_empty()));
        self.refill(|_| true);
    }

    /// Makes sure that the earliest entry is in `near`.
    fn refill(&mut self, mut keep: impl FnMut(&Entry) -> bool) {
        while self.near.is_empty() {
            let Some((rung, coarser)) = self.rungs.split_last_mut() else {
                return;
            };
            let mut bucket = rung.take_next(coarser.last().map_or(u128::MAX, |rung| rung.reach));
            if rung.next == BUCKETS {
                self.rungs.pop();
            }
            if bucket.len() > self.crowd {
                self.spread(bucket);
            } else {
                let all = bucket.len();
                bucket.retain(&mut keep);
                self.len -= all - bucket.len();
                self.near = BinaryHeap::from(bucket);
            }
        }
    }

    /// Makes a new last rung of entries that are all earlier than the present one's reach.
    fn spread(&mut self, entries: Vec<Entry>) {
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
    /// The entry must be at or behind `start`.
    fn push(&mut self, entry: Entry) {
        let bucket = (entry.key() - self.start) >> self.shift;
        let bucket = usize::try_from(bucket).map_or(BUCKETS - 1, |bucket| bucket.min(BUCKETS - 1));
        self.buckets[bucket].push(entry);
    }

    /// The entries of the first bucket that has some. What is earlier than the bucket after it is
    /// no longer accepted here, nor is what the coarser rung accepts, from `limit` on.
    fn take_next(&mut self, limit: u128) -> Vec<Entry> {
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

    /// Keeps what is worth it, and says how many entries that is.
    fn retain(&mut self, mut keep: impl FnMut(&Entry) -> bool) -> usize {
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
