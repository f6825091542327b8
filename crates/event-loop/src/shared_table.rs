//! A table whose things are shared: an event holds its thing while callbacks run, and no table stays borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::rc::Rc;

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
    chunks: RefCell<Vec<Chunk<T>>>,
    /// Chunks with room, the one to fill next on top. A chunk is in it once or not at all.
    roomy: RefCell<Vec<u32>>,
    len: Cell<usize>,
}

const CHUNK: usize = 64;

struct Chunk<T> {
    slots: Option<Rc<[Slot<T>]>>,
    /// A bit for each slot that is not free.
    used: u64,
    /// The generation from which slots start, above those that the chunk had before its memory was given back.
    generation: NonZeroU32,
    listed: bool,
}

struct Slot<T> {
    generation: Cell<NonZeroU32>,
    /// Whether the generation is that of a thing; the next thing's otherwise, which no id names yet.
    taken: Cell<bool>,
    value: T,
}

/// A thing of a [`SharedTable`], held: it stays in its place for as long, also when it is removed meanwhile.
pub struct Held<T> {
    slots: Rc<[Slot<T>]>,
    id: Id,
}

impl<T> Held<T> {
    /// The id under which the thing was found.
    #[inline]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Returns whether the thing is still in the table.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.slot().generation.get() == self.id.generation()
    }

    #[inline]
    fn slot(&self) -> &Slot<T> {
        &self.slots[self.id.index() as usize % CHUNK]
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.slot().value
    }
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Held {
            slots: Rc::clone(&self.slots),
            id: self.id,
        }
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
            chunks: RefCell::new(Vec::new()),
            roomy: RefCell::new(Vec::new()),
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
        let mut roomy = self.roomy.borrow_mut();
        let at = match roomy.last() {
            Some(&at) => at,
            None => grow(&mut chunks, &mut roomy)?,
        };
        let chunk = &mut chunks[at as usize];
        let generation = chunk.generation;
        let slots = chunk.slots.get_or_insert_with(|| {
            let slot = |_| Slot {
                generation: Cell::new(generation),
                taken: Cell::new(false),
                value: T::default(),
            };
            (0..CHUNK).map(slot).collect()
        });
        let position = (!chunk.used).trailing_zeros() as usize;
        chunk.used |= 1 << position;
        let slot = &slots[position];
        slot.taken.set(true);
        let held = Held {
            slots: Rc::clone(slots),
            id: Id::new(at * CHUNK as u32 + position as u32, slot.generation.get()),
        };
        if chunk.used == u64::MAX {
            chunk.listed = false;
            roomy.pop();
        }
        self.len.set(self.len.get() + 1);
        Some(held)
    }

    /// Makes an id find nothing from now on; `false` if it finds nothing already.
    pub fn remove(&self, id: Id) -> bool {
        let removed = self.with(id, |slot| {
            slot.taken.set(false);
            slot.generation.set(next(slot.generation.get()));
        });
        if removed.is_some() {
            self.len.set(self.len.get() - 1);
        }
        removed.is_some()
    }

    /// Frees the slot of a token whose thing was removed, for the next thing.
    pub fn reuse(&self, token: Token) {
        let (at, position) = place(token.index());
        let mut chunks = self.chunks.borrow_mut();
        let mut roomy = self.roomy.borrow_mut();
        let Some(chunk) = chunks.get_mut(at) else {
            return;
        };
        chunk.used &= !(1 << position);
        if !chunk.listed {
            chunk.listed = true;
            roomy.push(at as u32);
        }
        if chunk.used == 0
            && roomy.len() > 1
            && let Some(slots) = chunk.slots.take()
        {
            let newest = slots.iter().map(|slot| slot.generation.get()).max();
            chunk.generation = newest.unwrap_or(chunk.generation);
            // Those still in use fill up first.
            if roomy.last() == Some(&(at as u32)) {
                let end = roomy.len() - 1;
                roomy.swap(0, end);
            }
        }
    }

    /// Holds the thing under an id.
    #[inline]
    pub fn get(&self, id: Id) -> Option<Held<T>> {
        let (at, position) = place(id.index());
        let chunks = self.chunks.borrow();
        let slots = chunks.get(at)?.slots.as_ref()?;
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
        let (at, position) = place(index);
        let chunks = self.chunks.borrow();
        let slots = chunks.get(at)?.slots.as_ref()?;
        let slot = slots.get(position)?;
        let generation = slot.generation.get();
        token.is_of(generation.get()).then(|| Held {
            slots: Rc::clone(slots),
            id: Id::new(index, generation),
        })
    }

    /// The ids of all things.
    pub fn ids(&self) -> Vec<Id> {
        let chunks = self.chunks.borrow();
        let slots = chunks.iter().enumerate().flat_map(|(at, chunk)| {
            let slots = chunk.slots.iter().flat_map(|slots| slots.iter());
            slots
                .enumerate()
                .map(move |(n, slot)| (at * CHUNK + n, slot))
        });
        let taken = slots.filter(|(_, slot)| slot.taken.get());
        taken
            .map(|(index, slot)| Id::new(index as u32, slot.generation.get()))
            .collect()
    }

    #[inline]
    fn with<R>(&self, id: Id, f: impl FnOnce(&Slot<T>) -> R) -> Option<R> {
        let (at, position) = place(id.index());
        let chunks = self.chunks.borrow();
        let slot = chunks.get(at)?.slots.as_ref()?.get(position)?;
        (slot.generation.get() == id.generation()).then(|| f(slot))
    }
}

#[inline]
fn place(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

fn grow<T>(chunks: &mut Vec<Chunk<T>>, roomy: &mut Vec<u32>) -> Option<u32> {
    let at = u32::try_from(chunks.len()).ok()?;
    at.checked_mul(CHUNK as u32)?.checked_add(CHUNK as u32)?;
    chunks.push(Chunk {
        slots: None,
        used: 0,
        generation: NonZeroU32::MIN,
        listed: true,
    });
    roomy.push(at);
    Some(at)
}

fn next(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
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
        assert!(table.get(first.id()).is_none() && !first.is_current());
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
            .filter(|c| c.slots.is_some())
            .count();
        assert_eq!((kept, table.len()), (1, 0));
        for _ in 0..10 * CHUNK {
            table.insert().unwrap();
        }
        assert!(ids.iter().all(|id| table.get(*id).is_none()));
    }
}
