//! The table behind `Copy` handles: slots with generations, in chunks that are released when they are empty.

use std::fmt;
use std::num::NonZeroU32;

use crate::chunks::{CHUNK, ChunkSlots, SlotChunks, Vacancy, next_generation};
use crate::token::{DriverId, Token};

/// The identifier of a value in a [`Table`]: the index of its slot and its generation. `Copy` handles contain one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: NonZeroU32,
}

impl Id {
    /// An id that is invalid in every table.
    pub const NONE: Id = Id {
        index: u32::MAX,
        generation: NonZeroU32::MAX,
    };

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

    /// Returns the token that identifies the value on the loop.
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

/// A table of values by [`Id`]. The id of a removed value stays invalid when its slot is reused.
///
/// Slots are allocated in chunks of 64, which do not move as the table grows. An empty chunk releases its memory,
/// unless it is the only chunk with free slots.
///
/// # Limits
/// 2³² slots. A slot is reused 2³² times before its first id would match again.
pub struct Table<T> {
    chunks: SlotChunks<Vec<TableSlot<T>>>,
    len: usize,
}

struct TableSlot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

impl<T> ChunkSlots for Vec<TableSlot<T>> {
    fn newest(&self) -> Option<NonZeroU32> {
        self.iter().map(|slot| slot.generation).max()
    }
}

impl<T> Table<T> {
    /// Creates an empty table. It allocates with the first insertion.
    pub const fn new() -> Self {
        Table {
            chunks: SlotChunks::new(),
            len: 0,
        }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns `true` if the table has no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Inserts a value. Returns `None`, and drops the value, if all 2³² slots are taken.
    pub fn insert(&mut self, value: T) -> Option<Id> {
        let Vacancy {
            index,
            slots,
            mut generation,
        } = self.chunks.take()?;
        if slots.is_empty() {
            slots.reserve_exact(CHUNK);
        }
        match slots.get_mut(index as usize % CHUNK) {
            Some(slot) => {
                slot.value = Some(value);
                generation = slot.generation;
            }
            None => slots.push(TableSlot {
                generation,
                value: Some(value),
            }),
        }
        self.len += 1;
        Some(Id { index, generation })
    }

    /// Removes and returns a value.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slot_mut(id.index)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = next_generation(slot.generation);
        self.len -= 1;
        self.chunks.free(id.index);
        Some(value)
    }

    /// Returns a reference to the value of an id.
    #[inline]
    pub fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slot(id.index)?;
        (slot.generation == id.generation)
            .then_some(slot.value.as_ref())
            .flatten()
    }

    /// Returns a mutable reference to the value of an id.
    #[inline]
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slot_mut(id.index)?;
        if slot.generation != id.generation {
            return None;
        }
        slot.value.as_mut()
    }

    /// Returns the id for a token that the loop passes to a driver, unless its value was removed.
    #[inline]
    pub fn find(&self, token: Token) -> Option<Id> {
        let index = token.index();
        let slot = self.slot(index)?;
        (slot.value.is_some() && token.is_of(slot.generation.get())).then_some(Id {
            index,
            generation: slot.generation,
        })
    }

    /// Returns the id and a mutable reference to the value for a token that the loop passes to a driver.
    #[inline]
    pub fn find_mut(&mut self, token: Token) -> Option<(Id, &mut T)> {
        let index = token.index();
        let slot = self.slot_mut(index)?;
        if !token.is_of(slot.generation.get()) {
            return None;
        }
        let id = Id {
            index,
            generation: slot.generation,
        };
        Some((id, slot.value.as_mut()?))
    }

    /// Returns the ids of all values.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.iter().map(|(id, _)| id)
    }

    /// Returns all values with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> + '_ {
        self.chunks.iter().flat_map(|(first, slots)| {
            slots.iter().zip(first..).filter_map(|(slot, index)| {
                let id = Id {
                    index,
                    generation: slot.generation,
                };
                slot.value.as_ref().map(|value| (id, value))
            })
        })
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&TableSlot<T>> {
        let (slots, position) = self.chunks.get(index)?;
        slots.get(position)
    }

    #[inline]
    fn slot_mut(&mut self, index: u32) -> Option<&mut TableSlot<T>> {
        let (slots, position) = self.chunks.get_mut(index)?;
        slots.get_mut(position)
    }
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
    fn a_stale_id_stays_invalid_after_its_slot_is_reused() {
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
    fn a_token_finds_its_value_until_it_is_removed() {
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
    fn empty_chunks_release_their_memory_and_keep_their_generations() {
        let mut table = Table::new();
        let ids: Vec<Id> = (0..10 * CHUNK).map(|n| table.insert(n).unwrap()).collect();
        for id in &ids {
            table.remove(*id);
        }
        let held = table
            .chunks
            .iter()
            .filter(|(_, slots)| slots.capacity() > 0);
        assert_eq!(held.count(), 1);
        for n in 0..10 * CHUNK {
            table.insert(n).unwrap();
        }
        assert!(ids.iter().all(|id| table.get(*id).is_none()));
    }

    proptest! {
        #[test]
        fn a_table_behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..600)) {
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
