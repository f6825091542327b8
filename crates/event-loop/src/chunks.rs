//! Allocation of table slots, in chunks of 64.

use std::num::NonZeroU32;

/// The number of slots in a chunk.
pub(crate) const CHUNK: usize = 64;

/// The slots of a chunk.
pub(crate) trait ChunkSlots: Default {
    /// Returns the highest generation in the slots; `None` if no slot was created yet.
    fn newest(&self) -> Option<NonZeroU32>;
}

/// Slots in chunks of 64, which do not move as more are added. A chunk whose slots are all free drops them, unless it is the only chunk
/// with free slots.
pub(crate) struct SlotChunks<S> {
    chunks: Vec<SlotChunk<S>>,
    /// Chunks with free slots; the last one is filled next. A chunk is listed at most once.
    available: Vec<u32>,
}

struct SlotChunk<S> {
    slots: S,
    /// A bit for each used slot.
    used: u64,
    /// The first generation of new slots, above those of the slots that the chunk dropped.
    generation: NonZeroU32,
    /// Set while the chunk is in `available`.
    listed: bool,
}

/// A free slot that was taken.
pub(crate) struct Vacancy<'a, S> {
    pub(crate) index: u32,
    /// The slots of its chunk. The lowest free slot is taken first, so all slots before it exist.
    pub(crate) slots: &'a mut S,
    /// The generation for the slot if it does not exist yet.
    pub(crate) generation: NonZeroU32,
}

impl<S: ChunkSlots> SlotChunks<S> {
    pub(crate) const fn new() -> Self {
        SlotChunks {
            chunks: Vec::new(),
            available: Vec::new(),
        }
    }

    /// Takes a free slot; `None` when all 2³² slots are used.
    pub(crate) fn take(&mut self) -> Option<Vacancy<'_, S>> {
        let at = match self.available.last() {
            Some(&at) => at,
            None => self.grow()?,
        };
        let chunk = &mut self.chunks[at as usize];
        let position = (!chunk.used).trailing_zeros();
        chunk.used |= 1 << position;
        if chunk.used == u64::MAX {
            chunk.listed = false;
            self.available.pop();
        }
        Some(Vacancy {
            index: at * CHUNK as u32 + position,
            slots: &mut chunk.slots,
            generation: chunk.generation,
        })
    }

    /// Makes a slot free.
    pub(crate) fn free(&mut self, index: u32) {
        let (at, position) = split(index);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        chunk.used &= !(1 << position);
        if !chunk.listed {
            chunk.listed = true;
            self.available.push(at as u32);
        }
        if chunk.used == 0 && self.available.len() > 1 {
            chunk.generation = chunk.slots.newest().unwrap_or(chunk.generation);
            chunk.slots = S::default();
            // Chunks that are still in use are filled first.
            if self.available.last() == Some(&(at as u32)) {
                let end = self.available.len() - 1;
                self.available.swap(0, end);
            }
        }
    }

    /// Returns the slots of the chunk of an index, and the position in them.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<(&S, usize)> {
        let (at, position) = split(index);
        Some((&self.chunks.get(at)?.slots, position))
    }

    /// Mutable version of [`get`](SlotChunks::get).
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<(&mut S, usize)> {
        let (at, position) = split(index);
        Some((&mut self.chunks.get_mut(at)?.slots, position))
    }

    /// Returns the slots of each chunk, with the index of its first slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        let chunks = self.chunks.iter().enumerate();
        chunks.map(|(at, chunk)| ((at * CHUNK) as u32, &chunk.slots))
    }

    fn grow(&mut self) -> Option<u32> {
        let at = u32::try_from(self.chunks.len()).ok()?;
        at.checked_mul(CHUNK as u32)?.checked_add(CHUNK as u32)?;
        self.chunks.push(SlotChunk {
            slots: S::default(),
            used: 0,
            generation: NonZeroU32::MIN,
            listed: true,
        });
        self.available.push(at);
        Some(at)
    }
}

/// Splits an index into the number of its chunk and the position in the chunk.
#[inline]
fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

/// Returns the next generation, skipping 0.
#[inline]
pub(crate) fn next_generation(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
}
