//! The listeners of one emitter, with their types erased.
//!
//! Cost of an emission to one listener: no allocation, two short calls into this list (take the callback out, put it
//! back), one type comparison and one indirect call.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

use crate::event::{Event, MOST_EVENTS};

/// How many emissions of an emitter may wait for its running listeners to return: 65,536.
///
/// They come from listeners that emit the very event they are listening to. One more is dropped and logged at error
/// level.
pub const NESTED_LIMIT: usize = 65_536;

/// Names a listener, for [`off`](crate::Emitter::off); unique within its emitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

impl ListenerId {
    /// The id that no listener has: what registering on an emitter that is gone gives.
    pub const NONE: ListenerId = ListenerId(0);
}

/// A callback whose payload type is erased; the payload travels as an `Option<P>` inside the `dyn Any`.
pub(crate) trait Callback {
    fn call(&mut self, payload: &mut dyn Any);
}

struct Typed<P, R, F> {
    callback: F,
    marker: PhantomData<fn(P) -> R>,
}

impl<P: 'static, R, F: FnMut(P) -> R> Callback for Typed<P, R, F> {
    #[inline]
    fn call(&mut self, payload: &mut dyn Any) {
        if let Some(payload) = payload.downcast_mut::<Option<P>>().and_then(Option::take) {
            (self.callback)(payload);
        }
    }
}

/// The listeners that an emitter holds, in the order of registration.
///
/// A handle's implementation of [`Emitter`](crate::Emitter) lends it out; the methods of `Emitter` and
/// [`emit`](crate::emit) do the rest. Removed callbacks are handed back, so that what they captured is dropped while
/// nothing is borrowed.
#[derive(Default)]
pub struct Listeners {
    entries: Vec<Entry>,
    state: State,
    #[expect(
        clippy::box_collection,
        reason = "hardly ever there, and each handle pays for the place"
    )]
    nested: Option<Box<VecDeque<Waiting>>>,
}

/// How many listeners were registered, and a bit for each slot whose listeners are running: in one word, which each
/// handle pays for.
#[derive(Clone, Copy, Default)]
struct State(u64);

impl State {
    const NONE: State = State(0);
    /// Numbers take the 40 bits above the slots': ten thousand a second last for three years.
    const NUMBER_SHIFT: u32 = MOST_EVENTS;

    fn registered(self) -> u64 {
        self.0 >> Self::NUMBER_SHIFT
    }

    fn register(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1 << Self::NUMBER_SHIFT);
        self.registered()
    }

    #[inline]
    fn is_running(self, slot: u8) -> bool {
        self.0 & 1 << slot != 0
    }

    #[inline]
    fn start(&mut self, slot: u8) {
        self.0 |= 1 << slot;
    }

    #[inline]
    fn end(&mut self, slot: u8) {
        self.0 &= !(1 << slot);
    }
}

/// A slot and the payload that waits for its listeners.
type Waiting = (u8, Box<dyn Any>);

/// The payload of the next emission and the callback with which it begins.
pub(crate) type Next = (Box<dyn Any>, Taken);

struct Entry {
    /// `None` while the callback runs.
    callback: Option<Box<dyn Callback>>,
    key: Key,
}

/// The registration number, the slot and the once flag in one word: it keeps an entry at 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64);

impl Key {
    const NUMBER_SHIFT: u32 = 6;
    const ONCE: u64 = 1 << 5;
    const SLOT: u64 = 31;

    fn new(number: u64, slot: u8, once: bool) -> Self {
        let once = if once { Self::ONCE } else { 0 };
        Key(number << Self::NUMBER_SHIFT | once | u64::from(slot) & Self::SLOT)
    }

    fn number(self) -> u64 {
        self.0 >> Self::NUMBER_SHIFT
    }

    fn slot(self) -> u8 {
        (self.0 & Self::SLOT) as u8
    }

    fn is_once(self) -> bool {
        self.0 & Self::ONCE != 0
    }
}

/// A callback that is out of the list while it runs.
pub(crate) struct Taken {
    pub(crate) callback: Box<dyn Callback>,
    key: Key,
    /// Where it was in the list; it may have moved meanwhile.
    at: u32,
    /// Whether another listener was waiting for the same emission when this one was taken.
    pub(crate) more: bool,
    /// Only listeners registered up to here take part in the emission.
    limit: u64,
}

/// How an emission starts.
pub(crate) enum Begin {
    Nobody,
    /// The event's own listeners are running: the payload has to wait.
    Running,
    Run(Taken),
}

/// An emission that has begun: its first callback, ready to run. See [`Listeners::begin`].
#[derive(Debug)]
#[must_use = "the listener is out of the list until `emit_begun` runs it"]
pub struct Begun(pub(crate) Taken);

impl Begun {
    /// Whether the emission has one listener only: then it may be run by hand, with [`call`](Begun::call),
    /// [`Listeners::complete`] and [`emit_rest`](crate::emit_rest), where the last two share a borrow with other work.
    #[inline]
    pub fn is_only(&self) -> bool {
        !self.0.more
    }

    /// Runs the callback. One that panics stays out of the list: for emitters that a panic ends.
    #[inline]
    pub fn call<P: 'static>(&mut self, payload: P) {
        self.0.callback.call(&mut Some(payload));
    }
}

impl Listeners {
    /// Makes an empty list; it allocates with the first listener.
    pub const fn new() -> Self {
        Listeners {
            entries: Vec::new(),
            state: State::NONE,
            nested: None,
        }
    }

    /// Whether an event has a listener.
    pub fn has(&self, slot: u8) -> bool {
        self.entries.iter().any(|entry| entry.key.slot() == slot)
    }

    /// How many listeners there are, of all events.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no listeners at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes all listeners out; dropping the result drops what they captured.
    #[must_use = "drop it after whatever holds the listeners is no longer borrowed"]
    pub fn take(&mut self) -> Listeners {
        Listeners {
            entries: std::mem::take(&mut self.entries),
            state: State::NONE,
            nested: self.nested.take(),
        }
    }

    pub(crate) fn add<P: 'static, R: 'static>(
        &mut self,
        slot: u8,
        once: bool,
        callback: impl FnMut(P) -> R + 'static,
    ) -> ListenerId {
        let key = Key::new(self.state.register(), slot, once);
        if self.entries.len() == self.entries.capacity() && self.entries.len() < 2 {
            // Most handles have one listener or two; the default first step would be four.
            self.entries.reserve_exact(1);
        }
        self.entries.push(Entry {
            callback: Some(Box::new(Typed {
                callback,
                marker: PhantomData,
            })),
            key,
        });
        ListenerId(key.0)
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Removed> {
        let at = self.entries.iter().position(|entry| entry.key.0 == id.0)?;
        Some(Removed {
            _entries: vec![self.entries.remove(at)],
        })
    }

    pub(crate) fn remove_slot(&mut self, slot: u8) -> Removed {
        Removed {
            _entries: self
                .entries
                .extract_if(.., |entry| entry.key.slot() == slot)
                .collect(),
        }
    }

    pub(crate) fn ids(&self, slot: u8) -> Vec<ListenerId> {
        self.entries
            .iter()
            .filter(|entry| entry.key.slot() == slot)
            .map(|entry| ListenerId(entry.key.0))
            .collect()
    }

    /// Begins an emission where the listeners are at hand, to go on with [`emit_begun`](crate::emit_begun) when they are
    /// no longer borrowed. `None` when nobody listens or the event's own listeners are running: then
    /// [`emit`](crate::emit) does what there is to do.
    #[inline]
    pub fn begin<E: ?Sized, P>(&mut self, event: &Event<E, P>) -> Option<Begun> {
        match self.begin_slot(event.slot()) {
            Begin::Run(taken) => Some(Begun(taken)),
            Begin::Nobody | Begin::Running => None,
        }
    }

    #[inline]
    pub(crate) fn begin_slot(&mut self, slot: u8) -> Begin {
        if self.state.is_running(slot) {
            return Begin::Running;
        }
        let belongs = |entry: &Entry| entry.key.slot() == slot;
        let Some(at) = self.entries.iter().position(belongs) else {
            return Begin::Nobody;
        };
        let more = self.entries[at + 1..].iter().any(belongs);
        match self.take_at(at, more, self.state.registered()) {
            Some(taken) => {
                self.state.start(slot);
                Begin::Run(taken)
            }
            None => Begin::Nobody,
        }
    }

    /// Puts a callback back. Hands it out instead when its listener was removed meanwhile, or was to run once.
    pub(crate) fn put_back(&mut self, taken: Taken) -> Option<Taken> {
        let hint = self.entries.get_mut(taken.at as usize);
        if let Some(entry) = hint
            && entry.key == taken.key
        {
            entry.callback = Some(taken.callback);
            return None;
        }
        let moved = self.entries.iter_mut().find(|entry| entry.key == taken.key);
        match moved {
            Some(entry) => {
                entry.callback = Some(taken.callback);
                None
            }
            None => Some(taken),
        }
    }

    /// Ends an emission whose only callback has run, if nothing has changed meanwhile. What it leaves is for
    /// [`emit_rest`](crate::emit_rest).
    #[inline]
    pub fn complete(&mut self, begun: &mut Option<Begun>) {
        if let Some(Begun(taken)) = begun.take() {
            let mut taken = Some(taken);
            if !self.complete_simple(&mut taken) {
                *begun = taken.map(Begun);
            }
        }
    }

    /// Ends an emission if nothing has changed meanwhile, as a rule: its last callback goes back to its place, and no
    /// payload waits.
    #[inline]
    pub(crate) fn complete_simple(&mut self, taken: &mut Option<Taken>) -> bool {
        if let Some(current) = taken
            && self.nested.is_none()
            && let Some(entry) = self.entries.get_mut(current.at as usize)
            && entry.key == current.key
            && let Some(current) = taken.take()
        {
            self.state.end(current.key.slot());
            entry.callback = Some(current.callback);
            return true;
        }
        false
    }

    /// Puts the last callback of an emission back and ends the emission. Gives the payload of the next one with its
    /// first callback, if a listener emitted the same event meanwhile.
    #[inline]
    pub(crate) fn complete_slowly(&mut self, taken: Taken) -> (Option<Taken>, Option<Next>) {
        let slot = taken.key.slot();
        let done = self.put_back(taken);
        let next = if self.nested.is_none() {
            self.state.end(slot);
            None
        } else {
            self.begin_nested(slot)
        };
        (done, next)
    }

    /// Ends an emission and begins the one that waits for its end, if there is one.
    #[cold]
    pub(crate) fn begin_nested(&mut self, slot: u8) -> Option<Next> {
        let payload = self.finish(slot)?;
        match self.begin_slot(slot) {
            Begin::Run(taken) => Some((payload, taken)),
            Begin::Nobody | Begin::Running => None,
        }
    }

    /// The next listener of the emission in which the listener `position` names has just run.
    #[inline]
    pub(crate) fn take_next(&mut self, position: Position) -> Option<Taken> {
        self.take_after(position.slot, position.number, position.limit)
    }

    /// Ends an emission; gives the payload of the next one if a listener emitted the same event meanwhile.
    fn finish(&mut self, slot: u8) -> Option<Box<dyn Any>> {
        self.state.end(slot);
        let nested = self.nested.as_mut()?;
        let at = nested.iter().position(|(waiting, _)| *waiting == slot);
        let payload = at
            .and_then(|at| nested.remove(at))
            .map(|(_, payload)| payload);
        if nested.is_empty() {
            self.nested = None;
        }
        payload
    }

    /// Ends an emission that unwinds; gives the payloads that waited for it.
    pub(crate) fn abandon(&mut self, slot: u8) -> Vec<Waiting> {
        self.state.end(slot);
        match self.nested.as_mut() {
            Some(nested) => {
                let (gone, kept): (Vec<_>, Vec<_>) =
                    nested.drain(..).partition(|(waiting, _)| *waiting == slot);
                nested.extend(kept);
                gone
            }
            None => Vec::new(),
        }
    }

    /// Keeps the payload of an event whose listeners are running; hands it back when too many wait already.
    pub(crate) fn wait(&mut self, slot: u8, payload: Box<dyn Any>) -> Result<(), Box<dyn Any>> {
        let nested = self.nested.get_or_insert_default();
        if nested.len() >= NESTED_LIMIT {
            return Err(payload);
        }
        nested.push_back((slot, payload));
        Ok(())
    }

    fn take_after(&mut self, slot: u8, after: u64, limit: u64) -> Option<Taken> {
        // Entries are in the order of their numbers.
        let first = self
            .entries
            .partition_point(|entry| entry.key.number() <= after);
        let belongs = |entry: &Entry| entry.key.slot() == slot && entry.key.number() <= limit;
        let at = first + self.entries[first..].iter().position(belongs)?;
        let more = self.entries[at + 1..].iter().any(belongs);
        self.take_at(at, more, limit)
    }

    #[inline]
    fn take_at(&mut self, at: usize, more: bool, limit: u64) -> Option<Taken> {
        let entry = self.entries.get_mut(at)?;
        let key = entry.key;
        let callback = entry.callback.take()?;
        if key.is_once() {
            self.entries.remove(at);
        }
        Some(Taken {
            callback,
            key,
            at: at as u32,
            more,
            limit,
        })
    }
}

impl Taken {
    pub(crate) fn position(&self) -> Position {
        Position {
            slot: self.key.slot(),
            number: self.key.number(),
            limit: self.limit,
        }
    }
}

/// Where an emission stands.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    slot: u8,
    number: u64,
    limit: u64,
}

/// Listeners that were removed; what they captured is dropped with it.
pub(crate) struct Removed {
    _entries: Vec<Entry>,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("slot", &self.key.slot())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("len", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_24_bytes_and_the_list_40() {
        assert_eq!(size_of::<Entry>(), 24);
        assert_eq!(size_of::<Listeners>(), 40);
    }
}
