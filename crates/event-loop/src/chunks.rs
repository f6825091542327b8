//! Which slots of a table are free, and where the others are.

use std::num::NonZeroU32;

/// The number of slots in a chunk.
pub(crate) const CHUNK: usize = 64;

/// The slots of a chunk.
pub(crate) trait Slots: Default {
    /// Returns the highest generation in the slots; `None` where none was made yet.
    fn newest(&self) -> Option<NonZeroU32>;
}

/// Slots in chunks of 64, which do not move as more are added. A chunk without used slots drops them unless it is the only one
/// with room.
pub(crate) struct Chunks<S> {
    chunks: Vec<Chunk<S>>,
    /// Chunks with room, the one to fill next on top. A chunk is in it once or not at all.
    roomy: Vec<u32>,
}

struct Chunk<S> {
    slots: S,
    /// A bit for each slot that is not free.
    used: u64,
    /// The generation from which slots start, above those that the chunk had before it dropped its slots.
    generation: NonZeroU32,
    listed: bool,
}

/// A slot that was free, and is used now.
pub(crate) struct Vacancy<'a, S> {
    pub(crate) index: u32,
    /// The slots of its chunk, with all that were made before it: the lowest free slot is taken first.
    pub(crate) slots: &'a mut S,
    /// The generation of a slot that is made for it.
    pub(crate) generation: NonZeroU32,
}

impl<S: Slots> Chunks<S> {
    pub(crate) const fn new() -> Self {
        Chunks {
            chunks: Vec::new(),
            roomy: Vec::new(),
        }
    }

    /// Takes a free slot; `None` when all 2³² slots are used.
    pub(crate) fn take(&mut self) -> Option<Vacancy<'_, S>> {
        let at = match self.roomy.last() {
            Some(&at) => at,
            None => self.grow()?,
        };
        let chunk = &mut self.chunks[at as usize];
        let position = (!chunk.used).trailing_zeros();
        chunk.used |= 1 << position;
        if chunk.used == u64::MAX {
            chunk.listed = false;
            self.roomy.pop();
        }
        Some(Vacancy {
            index: at * CHUNK as u32 + position,
            slots: &mut chunk.slots,
            generation: chunk.generation,
        })
    }

    /// Makes a slot free.
    pub(crate) fn free(&mut self, index: u32) {
        let (at, position) = place(index);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return;
        };
        chunk.used &= !(1 << position);
        if !chunk.listed {
            chunk.listed = true;
            self.roomy.push(at as u32);
        }
        if chunk.used == 0 && self.roomy.len() > 1 {
            chunk.generation = chunk.slots.newest().unwrap_or(chunk.generation);
            chunk.slots = S::default();
            // Those still in use fill up first.
            if self.roomy.last() == Some(&(at as u32)) {
                let end = self.roomy.len() - 1;
                self.roomy.swap(0, end);
            }
        }
    }

    /// Returns the slots of the chunk of an index, and the position in them.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<(&S, usize)> {
        let (at, position) = place(index);
        Some((&self.chunks.get(at)?.slots, position))
    }

    /// As [`get`](Chunks::get), to change them.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<(&mut S, usize)> {
        let (at, position) = place(index);
        Some((&mut self.chunks.get_mut(at)?.slots, position))
    }

    /// Returns the slots of all chunks, each with the index of the first of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &S)> {
        let chunks = self.chunks.iter().enumerate();
        chunks.map(|(at, chunk)| ((at * CHUNK) as u32, &chunk.slots))
    }

    fn grow(&mut self) -> Option<u32> {
        let at = u32::try_from(self.chunks.len()).ok()?;
        at.checked_mul(CHUNK as u32)?.checked_add(CHUNK as u32)?;
        self.chunks.push(Chunk {
            slots: S::default(),
            used: 0,
            generation: NonZeroU32::MIN,
            listed: true,
        });
        self.roomy.push(at);
        Some(at)
    }
}

/// Returns the chunk of an index, and the position of its slot in the chunk.
#[inline]
fn place(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

/// Returns the generation after another; 0 is left out.
#[inline]
pub(crate) fn next_generation(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
}
