//! A table whose things are shared: an event holds its thing while callbacks run, and no table stays borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::rc::Rc;

use crate::chunks::{CHUNK, Chunks, Slots, Vacancy, next_generation};
use crate::table::Id;
use crate::token::Token;

/// Slots by [`Id`], each with a `T` that can be held while the table changes.
///
/// A slot's `T` is made once, by [`Default`], and used again: the owner of the table fills it after
/// [`insert`](SharedTable::insert) and empties it around [`remove`](SharedTable::remove). A removed id finds nothing at once,
/// but its slot is used again only after the iteration of the loop, when nothing holds it any more: the driver calls
/// [`reuse`](SharedTable::reuse) from [`Driver::reap`](crate::driver::Driver::reap).
///
/// Slots come in chunks of 64. A chunk without things gives its memory back unless it is the only one with room.
///
/// # Limits
/// 2³² slots; a slot is reused 2³² times before an id of its first thing would match again.
pub struct SharedTable<T> {
    chunks: RefCell<Chunks<SharedSlots<T>>>,
    len: Cell<usize>,
}

struct Slot<T> {
    generation: Cell<NonZeroU32>,
    /// Whether the generation is that of a thing; the next thing's otherwise, which no id names yet.
    taken: Cell<bool>,
    value: T,
}

/// The slots of a chunk; `None` until its first thing.
type SharedSlots<T> = Option<Rc<[Slot<T>]>>;

impl<T> Slots for SharedSlots<T> {
    fn newest(&self) -> Option<NonZeroU32> {
        let slots = self.iter().flat_map(|slots| slots.iter());
        slots.map(|slot| slot.generation.get()).max()
    }
}

/// A thing of a [`SharedTable`], held: it stays in its place for as long, also when it is removed meanwhile.
pub struct Held<T> {
    slots: Rc<[Slot<T>]>,
    id: Id,
}

impl<T> Held<T> {
    /// Returns the id under which the thing was found.
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
    /// Makes an empty table; it allocates with the first thing.
    pub const fn new() -> Self {
        SharedTable {
            chunks: RefCell::new(Chunks::new()),
            len: Cell::new(0),
        }
    }

    /// Returns the number of things.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Returns whether there are no things.
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Takes a free slot, whose value the caller fills; `None` when all 2³² slots are taken.
    pub fn insert(&self) -> Option<Held<T>> {
        let mut chunks = self.chunks.borrow_mut();
        let Vacancy {
            index,
            slots,
            generation,
        } = chunks.take()?;
        let slots = slots.get_or_insert_with(|| {
            let slot = |_| Slot {
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

    /// Makes an id find nothing from now on; `false` if it finds nothing already.
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

    /// Frees the slot of a token whose thing was removed, for the next thing.
    pub fn reuse(&self, token: Token) {
        self.chunks.borrow_mut().free(token.index());
    }

    /// Holds the thing under an id.
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

    /// Calls `f` with the thing under an id; `f` uses no table.
    #[inline]
    pub fn look<R>(&self, id: Id, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.with(id, |slot| f(&slot.value))
    }

    /// Holds the thing behind a token that the loop passes to a driver.
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

    /// Returns the ids of all things.
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
    fn with<R>(&self, id: Id, f: impl FnOnce(&Slot<T>) -> R) -> Option<R> {
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
    fn a_removed_id_finds_nothing_at_once_and_its_slot_waits_for_reuse() {
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
    fn emptied_chunks_give_their_memory_back_and_keep_their_generations() {
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
