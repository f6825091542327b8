//! The table behind `Copy` handles: slots with generations, in chunks that are given back.

use std::fmt;
use std::num::NonZeroU32;

use crate::token::{DriverId, Token};

/// Where a thing sits in a [`Table`], and under which generation: what a `Copy` handle holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: NonZeroU32,
}

impl Id {
    #[inline]
    pub(crate) fn new(index: u32, generation: NonZeroU32) -> Self {
        Id { index, generation }
    }

    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    #[inline]
    pub(crate) fn generation(self) -> NonZeroU32 {
        self.generation
    }

    /// The token under which the thing is known to the loop.
    #[inline]
    pub fn token(self, driver: DriverId) -> Token {
        Token::new(driver, self.index, self.generation.get())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Things by [`Id`]; an id whose thing was removed finds nothing, also when its slot is in use again.
///
/// Slots come in chunks of 64, which do not move as the table grows, and a chunk without things gives its memory back
/// unless it is the only one with room.
///
/// # Limits
/// 2³² slots; a slot is reused 2³² times before an id of its first thing would match again.
pub struct Table<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room, the one to fill next on top. A chunk is in it once or not at all.
    roomy: Vec<u32>,
    len: usize,
}

const CHUNK: usize = 64;

struct Chunk<T> {
    slots: Vec<Slot<T>>,
    /// A bit for each slot in use.
    used: u64,
    /// What the slots start from; above all generations that the chunk had before its memory was given back.
    generation: NonZeroU32,
    listed: bool,
}

struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> Table<T> {
    /// Makes an empty table; it allocates with the first thing.
    pub const fn new() -> Self {
        Table {
            chunks: Vec::new(),
            roomy: Vec::new(),
            len: 0,
        }
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a thing; `None`, and nothing added, when all 2³² slots are taken.
    pub fn insert(&mut self, value: T) -> Option<Id> {
        let at = match self.roomy.last() {
            Some(&at) => at,
            None => self.grow()?,
        };
        let chunk = &mut self.chunks[at as usize];
        if chunk.slots.is_empty() {
            chunk.slots.reserve_exact(CHUNK);
        }
        let slot = (!chunk.used).trailing_zeros() as usize;
        chunk.used |= 1 << slot;
        let generation = if slot < chunk.slots.len() {
            chunk.slots[slot].value = Some(value);
            chunk.slots[slot].generation
        } else {
            // The lowest free slot is taken first, so the slots in use never have a gap behind the end.
            chunk.slots.push(Slot {
                generation: chunk.generation,
                value: Some(value),
            });
            chunk.generation
        };
        if chunk.used == u64::MAX {
            chunk.listed = false;
            self.roomy.pop();
        }
        self.len += 1;
        Some(Id {
            index: at * CHUNK as u32 + slot as u32,
            generation,
        })
    }

    /// Takes a thing out.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let at = id.index as usize / CHUNK;
        let slot = id.index as usize % CHUNK;
        let chunk = self.chunks.get_mut(at)?;
        let entry = chunk.slots.get_mut(slot)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = next(entry.generation);
        chunk.used &= !(1 << slot);
        self.len -= 1;
        if !chunk.listed {
            chunk.listed = true;
            self.roomy.push(at as u32);
        }
        if chunk.used == 0 && self.roomy.len() > 1 {
            let newest = chunk.slots.iter().map(|slot| slot.generation).max();
            chunk.generation = newest.unwrap_or(chunk.generation);
            chunk.slots = Vec::new();
            self.sink(at as u32);
        }
        Some(value)
    }

    /// The thing under an id.
    #[inline]
    pub fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slot(id.index)?;
        (slot.generation == id.generation)
            .then_some(slot.value.as_ref())
            .flatten()
    }

    /// The thing under an id, to change it.
    #[inline]
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self
            .chunks
            .get_mut(id.index as usize / CHUNK)?
            .slots
            .get_mut(id.index as usize % CHUNK)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.value.as_mut()
    }

    /// The id behind a token that the loop hands to a driver, unless its thing is gone.
    #[inline]
    pub fn find(&self, token: Token) -> Option<Id> {
        let index = token.index();
        let slot = self.slot(index)?;
        (slot.value.is_some() && token.is_of(slot.generation.get())).then_some(Id {
            index,
            generation: slot.generation,
        })
    }

    /// The thing behind a token that the loop hands to a driver, to change it, and its id.
    #[inline]
    pub fn find_mut(&mut self, token: Token) -> Option<(Id, &mut T)> {
        let index = token.index();
        let slot = self
            .chunks
            .get_mut(index as usize / CHUNK)?
            .slots
            .get_mut(index as usize % CHUNK)?;
        if !token.is_of(slot.generation.get()) {
            return None;
        }
        let id = Id {
            index,
            generation: slot.generation,
        };
        Some((id, slot.value.as_mut()?))
    }

    /// The ids of all things.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.iter().map(|(id, _)| id)
    }

    /// All things with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> + '_ {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            chunk.slots.iter().enumerate().filter_map(move |(n, slot)| {
                let id = Id {
                    index: (at * CHUNK + n) as u32,
                    generation: slot.generation,
                };
                slot.value.as_ref().map(|value| (id, value))
            })
        })
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.chunks
            .get(index as usize / CHUNK)?
            .slots
            .get(index as usize % CHUNK)
    }

    fn grow(&mut self) -> Option<u32> {
        let at = u32::try_from(self.chunks.len()).ok()?;
        at.checked_mul(CHUNK as u32)?.checked_add(CHUNK as u32)?;
        self.chunks.push(Chunk {
            slots: Vec::new(),
            used: 0,
            generation: NonZeroU32::MIN,
            listed: true,
        });
        self.roomy.push(at);
        Some(at)
    }

    /// Moves a chunk that was emptied to the bottom, so that those still in use fill up first.
    fn sink(&mut self, at: u32) {
        if self.roomy.last() == Some(&at) && self.roomy.len() > 1 {
            let end = self.roomy.len() - 1;
            self.roomy.swap(0, end);
        }
    }
}

fn next(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_stale_id_finds_nothing_after_its_slot_is_reused() {
        let mut table = Table::new();
        let old = table.insert("old").unwrap();
        assert_eq!(table.remove(old), Some("old"));
        let new = table.insert("new").unwrap();
        assert_eq!(old.index, new.index);
        assert_eq!(table.get(old), None);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&"new"));
    }

    #[test]
    fn a_token_finds_its_thing_until_the_thing_is_gone() {
        let mut table = Table::new();
        let id = table.insert(1).unwrap();
        let token = id.token(DriverId::from_index(3));
        assert_eq!(table.find(token), Some(id));
        table.remove(id);
        assert_eq!(table.find(token), None);
        table.insert(2).unwrap();
        assert_eq!(table.find(token), None);
    }

    #[test]
    fn emptied_chunks_give_their_memory_back_and_keep_their_generations() {
        let mut table = Table::new();
        let ids: Vec<Id> = (0..10 * CHUNK).map(|n| table.insert(n).unwrap()).collect();
        for id in &ids {
            table.remove(*id);
        }
        let held = table.chunks.iter().filter(|c| c.slots.capacity() > 0);
        assert_eq!(held.count(), 1);
        for n in 0..10 * CHUNK {
            table.insert(n).unwrap();
        }
        assert!(ids.iter().all(|id| table.get(*id).is_none()));
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..600)) {
            let mut table = Table::new();
            let mut model: HashMap<Id, u16> = HashMap::new();
            let mut gone: Vec<Id> = Vec::new();
            for (add, n) in steps {
                if add || model.is_empty() {
                    let id = table.insert(n).unwrap();
                    prop_assert_eq!(model.insert(id, n), None);
                } else {
                    let id = *model.keys().nth(usize::from(n) % model.len()).unwrap();
                    prop_assert_eq!(table.remove(id), model.remove(&id));
                    gone.push(id);
                }
                prop_assert_eq!(table.len(), model.len());
            }
            for (id, n) in &model {
                prop_assert_eq!(table.get(*id), Some(n));
            }
            prop_assert!(gone.iter().all(|id| table.get(*id).is_none()));
            prop_assert_eq!(table.ids().count(), model.len());
        }
    }
}
