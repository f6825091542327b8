//! A table of shared values: an event holds its value while callbacks run, and no table stays borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::rc::Rc;

use crate::chunks::{CHUNK, ChunkSlots, SlotChunks, Vacancy, next_generation};
use crate::table::Id;
use crate::token::Token;

/// A table of values by [`Id`]. A value can be held while the table changes.
///
/// The `T` of a slot is created once, by [`Default`], and reused: the owner of the table initializes it after
/// [`insert`](SharedTable::insert) and clears it around [`remove`](SharedTable::remove). A removed id is invalid at once,
/// but its slot is reused only after the iteration of the loop, when nothing holds it any more: the driver calls
/// [`reuse`](SharedTable::reuse) from [`Driver::reap`](crate::driver::Driver::reap).
///
/// Slots are allocated in chunks of 64. An empty chunk releases its memory, unless it is the only chunk with free slots.
///
/// # Limits
/// 2³² slots. A slot is reused 2³² times before its first id would match again.
pub struct SharedTable<T> {
    chunks: RefCell<SlotChunks<SharedSlots<T>>>,
    len: Cell<usize>,
}

struct SharedSlot<T> {
    generation: Cell<NonZeroU32>,
    /// `true` if the generation belongs to a value. Otherwise the next value gets it, and no id has it yet.
    taken: Cell<bool>,
    value: T,
}

/// The slots of a chunk; `None` until the first insertion.
type SharedSlots<T> = Option<Rc<[SharedSlot<T>]>>;

impl<T> ChunkSlots for SharedSlots<T> {
    fn newest(&self) -> Option<NonZeroU32> {
        let slots = self.iter().flat_map(|slots| slots.iter());
        slots.map(|slot| slot.generation.get()).max()
    }
}

/// A reference to a value of a [`SharedTable`]. The value stays in its slot while it is held, even if it is removed.
pub struct Held<T> {
    slots: Rc<[SharedSlot<T>]>,
    id: Id,
}

impl<T> Held<T> {
    /// Returns the id of the value.
    #[inline]
    pub fn id(&self) -> Id {
        self.id
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.slots[self.id.index() as usize % CHUNK].value
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.id).finish()
    }
}

impl<T: Default> SharedTable<T> {
    /// Creates an empty table. It allocates with the first insertion.
    pub const fn new() -> Self {
        SharedTable {
            chunks: RefCell::new(SlotChunks::new()),
            len: Cell::new(0),
        }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Returns `true` if the table has no values.
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Takes a free slot, whose value the caller initializes. Returns `None` if all 2³² slots are taken.
    pub fn insert(&self) -> Option<Held<T>> {
        let mut chunks = self.chunks.borrow_mut();
        let Vacancy {
            index,
            slots,
            generation,
        } = chunks.take()?;
        let slots = slots.get_or_insert_with(|| {
            let slot = |_| SharedSlot {
                generation: Cell::new(generation),
                taken: Cell::new(false),
                value: T::default(),
            };
            (0..CHUNK).map(slot).collect()
        });
        let slot = &slots[index as usize % CHUNK];
        slot.taken.set(true);
        let held = Held {
            slots: Rc::clone(slots),
            id: Id::new(index, slot.generation.get()),
        };
        self.len.set(self.len.get() + 1);
        Some(held)
    }

    /// Invalidates an id. Returns `false` if it is already invalid.
    pub fn remove(&self, id: Id) -> bool {
        let removed = self.with(id, |slot| {
            slot.taken.set(false);
            slot.generation.set(next_generation(slot.generation.get()));
        });
        if removed.is_some() {
            self.len.set(self.len.get() - 1);
        }
        removed.is_some()
    }

    /// Frees the slot of a token whose value was removed.
    pub fn reuse(&self, token: Token) {
        self.chunks.borrow_mut().free(token.index());
    }

    /// Returns a reference to the value of an id.
    #[inline]
    pub fn get(&self, id: Id) -> Option<Held<T>> {
        let chunks = self.chunks.borrow();
        let (slots, position) = chunks.get(id.index())?;
        let slots = slots.as_ref()?;
        let slot = slots.get(position)?;
        (slot.generation.get() == id.generation()).then(|| Held {
            slots: Rc::clone(slots),
            id,
        })
    }

    /// Calls `f` with the value of an id. `f` must not use the table.
    #[inline]
    pub fn look<R>(&self, id: Id, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.with(id, |slot| f(&slot.value))
    }

    /// Returns a reference to the value of a token that the loop passes to a driver.
    #[inline]
    pub fn find(&self, token: Token) -> Option<Held<T>> {
        let index = token.index();
        let chunks = self.chunks.borrow();
        let (slots, position) = chunks.get(index)?;
        let slots = slots.as_ref()?;
        let slot = slots.get(position)?;
        let generation = slot.generation.get();
        token.is_of(generation.get()).then(|| Held {
            slots: Rc::clone(slots),
            id: Id::new(index, generation),
        })
    }

    /// Returns the ids of all values.
    pub fn ids(&self) -> Vec<Id> {
        let chunks = self.chunks.borrow();
        let slots = chunks.iter().flat_map(|(first, slots)| {
            let slots = slots.iter().flat_map(|slots| slots.iter());
            (first..).zip(slots)
        });
        let taken = slots.filter(|(_, slot)| slot.taken.get());
        taken
            .map(|(index, slot)| Id::new(index, slot.generation.get()))
            .collect()
    }

    #[inline]
    fn with<R>(&self, id: Id, f: impl FnOnce(&SharedSlot<T>) -> R) -> Option<R> {
        let chunks = self.chunks.borrow();
        let (slots, position) = chunks.get(id.index())?;
        let slot = slots.as_ref()?.get(position)?;
        (slot.generation.get() == id.generation()).then(|| f(slot))
    }
}

impl<T: Default> Default for SharedTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for SharedTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTable")
            .field("len", &self.len.get())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::DriverId;

    #[test]
    fn a_removed_id_is_invalid_at_once_and_its_slot_waits_for_reuse() {
        let table: SharedTable<Cell<u32>> = SharedTable::new();
        let first = table.insert().unwrap();
        first.set(1);
        assert!(table.remove(first.id()));
        assert!(table.get(first.id()).is_none());
        let second = table.insert().unwrap();
        assert_ne!(first.id().index(), second.id().index());
        assert_eq!(first.get(), 1);
        table.reuse(first.id().token(DriverId::from_index(0)));
        let third = table.insert().unwrap();
        assert_eq!(first.id().index(), third.id().index());
        assert!(table.get(first.id()).is_none());
        assert_eq!(table.ids(), [third.id(), second.id()]);
    }

    #[test]
    fn empty_chunks_release_their_memory_and_keep_their_generations() {
        let table: SharedTable<Cell<u32>> = SharedTable::new();
        let ids: Vec<Id> = (0..10 * CHUNK)
            .map(|_| table.insert().unwrap().id())
            .collect();
        for id in &ids {
            table.remove(*id);
            table.reuse(id.token(DriverId::from_index(0)));
        }
        let kept = table
            .chunks
            .borrow()
            .iter()
            .filter(|(_, slots)| slots.is_some())
            .count();
        assert_eq!((kept, table.len()), (1, 0));
        for _ in 0..10 * CHUNK {
            table.insert().unwrap();
        }
        assert!(ids.iter().all(|id| table.get(*id).is_none()));
    }
}
