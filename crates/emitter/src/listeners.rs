//! The listeners of one emitter, with their types erased.
//!
//! Cost of an emission to one listener: no allocation, two short calls into this list (take the callback out, put it
//! back), one type comparison and one indirect call.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use smallvec::SmallVec;

use crate::callback::{Callback, Form, Key, Position, Taken, erased};
use crate::event::{EventSet, MOST_EVENTS};

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

/// The listeners of an emitter, in the order of registration.
///
/// An emitter lends them to [`Emitter::with_listeners`](crate::Emitter::with_listeners); the methods of `Emitter` and
/// [`emit`](crate::emit) do the rest. Removed callbacks are returned to the caller, so that their captures are dropped while
/// nothing is borrowed.
///
/// `P` is the payload of the emitter's frequent event ([`EventSet::Frequent`](crate::EventSet::Frequent)). Its first listener is
/// kept with its type, so that [`emit_frequent`](crate::emit_frequent) is one indirect call.
pub struct Listeners<P: 'static = ()> {
    /// The first listener of the frequent event; `None` if there is none, and while it runs.
    frequent: Option<Box<dyn FnMut(P)>>,
    /// The key of that listener; [`Key::NONE`] if there is none.
    frequent_key: Key,
    state: State,
    /// The others; `None` while there were none.
    rest: Option<Box<Rest>>,
}

/// The listeners beside the typed one, and payloads that wait; most emitters have neither.
#[derive(Default)]
struct Rest {
    /// Most emitters have one listener beside that of the frequent event.
    entries: SmallVec<[Entry; 1]>,
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
    /// The frequent event has other listeners beside the typed one.
    const OTHERS: u64 = 1 << MOST_EVENTS;
    /// Payloads wait for the end of an emission.
    const NESTED: u64 = 1 << (MOST_EVENTS + 1);
    /// Numbers take the bits above: ten thousand a second last for a year.
    const NUMBER_SHIFT: u32 = MOST_EVENTS + 2;

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
    fn set(&mut self, flag: u64, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
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

/// The payload of the next emission and its first callback.
pub(crate) type Next<P> = (Box<dyn Any>, Taken<P>);

struct Entry {
    /// `None` while the callback runs.
    callback: Option<Box<dyn Callback>>,
    key: Key,
}

/// How an emission starts.
pub(crate) enum Begin<P> {
    NoListener,
    /// The event's own listeners are running: the payload has to wait.
    Running,
    Run(Taken<P>),
}

impl<P: 'static> Default for Listeners<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: 'static> Listeners<P> {
    /// Makes an empty list; it allocates with the first listener.
    pub const fn new() -> Self {
        Listeners {
            frequent: None,
            frequent_key: Key::NONE,
            state: State::NONE,
            rest: None,
        }
    }

    #[inline]
    fn entries(&self) -> &[Entry] {
        match &self.rest {
            Some(rest) => &rest.entries,
            None => &[],
        }
    }

    /// Notes whether the frequent event has other listeners, after the entries have changed.
    fn note_others(&mut self) {
        let others = self.frequent_key != Key::NONE && self.has_entry(self.frequent_key.slot());
        self.state.set(State::OTHERS, others);
    }

    /// Returns whether an event has a listener.
    #[inline]
    pub fn has(&self, slot: u8) -> bool {
        self.has_frequent(slot) || self.has_entry(slot)
    }

    /// Returns the number of listeners, of all events.
    pub fn len(&self) -> usize {
        self.entries().len() + usize::from(self.frequent_key != Key::NONE)
    }

    /// Returns whether there are no listeners at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all listeners out; dropping the result drops their captures.
    #[must_use = "drop it after whatever holds the listeners is no longer borrowed"]
    pub fn take(&mut self) -> Listeners<P> {
        Listeners {
            frequent: self.frequent.take(),
            frequent_key: std::mem::replace(&mut self.frequent_key, Key::NONE),
            state: State::NONE,
            rest: self.rest.take(),
        }
    }

    pub(crate) fn add<E: EventSet<Frequent = P>, Q: 'static, R: 'static>(
        &mut self,
        slot: u8,
        once: bool,
        mut callback: impl FnMut(Q) -> R + 'static,
    ) -> ListenerId {
        let key = Key::new(self.state.register(), slot, once);
        let is_first = self.frequent_key == Key::NONE && !self.has_entry(slot);
        if E::FREQUENT == Some(slot) && !once && is_first {
            // A payload of another type has another slot.
            let typed: Box<dyn FnMut(Q)> = Box::new(move |payload| drop(callback(payload)));
            let mut typed = Some(typed);
            let any: &mut dyn Any = &mut typed;
            self.frequent = any
                .downcast_mut::<Option<Box<dyn FnMut(P)>>>()
                .and_then(Option::take);
            self.frequent_key = key;
            return ListenerId(key.0);
        }
        self.rest.get_or_insert_default().entries.push(Entry {
            callback: Some(erased(callback)),
            key,
        });
        self.note_others();
        ListenerId(key.0)
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<Removed<P>> {
        if self.frequent_key.0 == id.0 && id != ListenerId::NONE {
            return Some(self.remove_frequent());
        }
        let entries = &mut self.rest.as_mut()?.entries;
        let at = entries.iter().position(|entry| entry.key.0 == id.0)?;
        let removed = Removed {
            _frequent: None,
            _entries: vec![entries.remove(at)],
        };
        self.note_others();
        Some(removed)
    }

    pub(crate) fn remove_slot(&mut self, slot: u8) -> Removed<P> {
        let mut removed = match self.has_frequent(slot) {
            true => self.remove_frequent(),
            false => Removed {
                _frequent: None,
                _entries: Vec::new(),
            },
        };
        if let Some(rest) = &mut self.rest {
            let (gone, kept): (Vec<_>, Vec<_>) = rest
                .entries
                .drain(..)
                .partition(|entry| entry.key.slot() == slot);
            rest.entries.extend(kept);
            removed._entries = gone;
        }
        self.note_others();
        removed
    }

    fn remove_frequent(&mut self) -> Removed<P> {
        self.frequent_key = Key::NONE;
        self.note_others();
        Removed {
            _frequent: self.frequent.take(),
            _entries: Vec::new(),
        }
    }

    pub(crate) fn ids(&self, slot: u8) -> Vec<ListenerId> {
        let frequent = self.has_frequent(slot).then_some(self.frequent_key);
        let keys = self.entries().iter().map(|entry| entry.key);
        frequent
            .into_iter()
            .chain(keys.filter(|key| key.slot() == slot))
            .map(|key| ListenerId(key.0))
            .collect()
    }

    #[inline]
    fn has_frequent(&self, slot: u8) -> bool {
        self.frequent_key != Key::NONE && self.frequent_key.slot() == slot
    }

    #[inline]
    fn has_entry(&self, slot: u8) -> bool {
        self.entries().iter().any(|entry| entry.key.slot() == slot)
    }

    /// Starts an emission of the frequent event whose only listener is the typed one; `None` otherwise.
    #[inline]
    pub(crate) fn start_frequent(&mut self, slot: u8) -> Option<Box<dyn FnMut(P)>> {
        if self.state.0 & (1 << slot | State::OTHERS) != 0 {
            return None;
        }
        let callback = self.frequent.take()?;
        self.state.start(slot);
        Some(callback)
    }

    /// Ends an emission that [`start_frequent`](Self::start_frequent) has started, unless a payload waits or the listener was
    /// removed: then the callback stays in `callback`.
    #[inline]
    pub(crate) fn end_frequent(
        &mut self,
        slot: u8,
        callback: &mut Option<Box<dyn FnMut(P)>>,
    ) -> bool {
        let simple = self.state.0 & State::NESTED == 0 && self.is_frequent_running();
        if simple {
            self.state.end(slot);
            self.frequent = callback.take();
        }
        simple
    }

    /// Returns whether the frequent event's listener runs and was not removed meanwhile: one that was added since would be in its
    /// place.
    #[inline]
    fn is_frequent_running(&self) -> bool {
        self.frequent.is_none() && self.frequent_key != Key::NONE
    }

    #[inline]
    pub(crate) fn begin_slot(&mut self, slot: u8) -> Begin<P> {
        if self.state.is_running(slot) {
            return Begin::Running;
        }
        let limit = self.state.registered();
        let taken = if self.has_frequent(slot) {
            let more = self.has_entry(slot);
            self.frequent.take().map(|callback| Taken {
                callback: Form::Frequent(callback),
                key: self.frequent_key,
                at: 0,
                more,
                limit,
            })
        } else {
            let entries = self.entries().iter().enumerate();
            let mut belonging = entries.filter(|(_, entry)| entry.key.slot() == slot);
            let Some((at, _)) = belonging.next() else {
                return Begin::NoListener;
            };
            let more = belonging.next().is_some();
            self.take_at(at, more, limit)
        };
        match taken {
            Some(taken) => {
                self.state.start(slot);
                Begin::Run(taken)
            }
            None => Begin::NoListener,
        }
    }

    /// Puts a callback back. Returns it if its listener was removed meanwhile, or was to run once.
    pub(crate) fn put_back(&mut self, taken: Taken<P>) -> Option<Taken<P>> {
        let callback = match taken.callback {
            Form::Frequent(callback) if self.is_frequent_running() => {
                self.frequent = Some(callback);
                return None;
            }
            Form::Frequent(_) => return Some(taken),
            Form::Erased(callback) => callback,
        };
        let entries = self.rest.as_mut().map(|rest| &mut rest.entries[..]);
        let entry = entries.and_then(|entries| match entries.get(taken.at as usize) {
            Some(entry) if entry.key == taken.key => entries.get_mut(taken.at as usize),
            _ => entries.iter_mut().find(|entry| entry.key == taken.key),
        });
        match entry {
            Some(entry) => {
                entry.callback = Some(callback);
                None
            }
            None => Some(Taken {
                callback: Form::Erased(callback),
                ..taken
            }),
        }
    }

    /// Puts the last callback of an emission back and ends the emission. Returns the payload of the next one with its
    /// first callback, if a listener emitted the same event meanwhile.
    #[inline]
    pub(crate) fn complete(&mut self, taken: Taken<P>) -> (Option<Taken<P>>, Option<Next<P>>) {
        let slot = taken.key.slot();
        let done = self.put_back(taken);
        let next = if self.state.0 & State::NESTED == 0 {
            self.state.end(slot);
            None
        } else {
            self.begin_nested(slot)
        };
        (done, next)
    }

    /// Ends an emission and begins the one that waits for its end, if there is one.
    #[cold]
    pub(crate) fn begin_nested(&mut self, slot: u8) -> Option<Next<P>> {
        let payload = self.finish(slot)?;
        match self.begin_slot(slot) {
            Begin::Run(taken) => Some((payload, taken)),
            Begin::NoListener | Begin::Running => None,
        }
    }

    /// Takes the next listener of the emission in which the listener at `position` has just run.
    #[inline]
    pub(crate) fn take_next(&mut self, position: Position) -> Option<Taken<P>> {
        self.take_after(position.slot, position.number, position.limit)
    }

    /// Ends an emission; returns the payload of the next one if a listener emitted the same event meanwhile.
    fn finish(&mut self, slot: u8) -> Option<Box<dyn Any>> {
        self.state.end(slot);
        let place = &mut self.rest.as_mut()?.nested;
        let nested = place.as_mut()?;
        let at = nested.iter().position(|(waiting, _)| *waiting == slot);
        let payload = at
            .and_then(|at| nested.remove(at))
            .map(|(_, payload)| payload);
        if nested.is_empty() {
            *place = None;
            self.state.set(State::NESTED, false);
        }
        payload
    }

    /// Ends an emission that unwinds; returns the payloads that waited for it.
    pub(crate) fn abandon(&mut self, slot: u8) -> Vec<Waiting> {
        self.state.end(slot);
        match self.rest.as_mut().and_then(|rest| rest.nested.as_mut()) {
            Some(nested) => {
                let (gone, kept): (Vec<_>, Vec<_>) =
                    nested.drain(..).partition(|(waiting, _)| *waiting == slot);
                nested.extend(kept);
                gone
            }
            None => Vec::new(),
        }
    }

    /// Keeps the payload of an event whose listeners are running; returns it when too many wait already.
    pub(crate) fn wait(&mut self, slot: u8, payload: Box<dyn Any>) -> Result<(), Box<dyn Any>> {
        let rest = self.rest.get_or_insert_default();
        let nested = rest.nested.get_or_insert_default();
        if nested.len() >= NESTED_LIMIT {
            return Err(payload);
        }
        nested.push_back((slot, payload));
        self.state.set(State::NESTED, true);
        Ok(())
    }

    fn take_after(&mut self, slot: u8, after: u64, limit: u64) -> Option<Taken<P>> {
        // Entries are in the order of their numbers.
        let entries = self.entries();
        let first = entries.partition_point(|entry| entry.key.number() <= after);
        let belongs = |entry: &Entry| entry.key.slot() == slot && entry.key.number() <= limit;
        let at = first + entries[first..].iter().position(belongs)?;
        let more = entries[at + 1..].iter().any(belongs);
        self.take_at(at, more, limit)
    }

    /// Removes a listener that has its only emission.
    #[cold]
    fn remove_once(&mut self, at: usize) {
        if let Some(rest) = &mut self.rest {
            rest.entries.remove(at);
        }
        self.note_others();
    }

    #[inline]
    fn take_at(&mut self, at: usize, more: bool, limit: u64) -> Option<Taken<P>> {
        let entry = self.rest.as_mut()?.entries.get_mut(at)?;
        let key = entry.key;
        let callback = entry.callback.take()?;
        if key.is_once() {
            self.remove_once(at);
        }
        Some(Taken {
            callback: Form::Erased(callback),
            key,
            at: at as u32,
            more,
            limit,
        })
    }
}

/// Listeners that were removed; dropping them drops their captures.
pub(crate) struct Removed<P> {
    _frequent: Option<Box<dyn FnMut(P)>>,
    _entries: Vec<Entry>,
}

impl<P: 'static> fmt::Debug for Listeners<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_takes_40_bytes_and_the_second_listener_as_many() {
        assert_eq!(size_of::<Listeners>(), 40);
        assert_eq!(size_of::<Rest>(), 40);
    }
}
