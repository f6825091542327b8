//! The listeners of one emitter, with their types erased.
//!
//! An emission to one listener costs no allocation, two short calls into this list (take the callback out, put it back), one
//! type comparison and one indirect call.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use smallvec::SmallVec;

use crate::callback::{
    Callback, EmissionPosition, ErasedCallback, ListenerKey, RunningListener, erased,
};
use crate::event::{EventSet, MAX_EVENTS};

/// Maximum number of queued emissions of an emitter whose listeners are running: 65,536.
///
/// They are emitted by listeners of the same event. Further ones are dropped and logged at error level.
pub const NESTED_LIMIT: usize = 65_536;

/// The id of a listener, for [`off`](crate::Emitter::off); unique within its emitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

impl ListenerId {
    /// The id of no listener, returned by a registration on an emitter that is gone.
    pub const NONE: ListenerId = ListenerId(0);
}

/// The listeners of an emitter, in the order of registration.
///
/// An emitter lends them to [`Emitter::with_listeners`](crate::Emitter::with_listeners); the methods of `Emitter` and
/// [`emit`](crate::emit) do the rest. Removed callbacks are returned to the caller, so that no borrow is held while their
/// captures are dropped.
///
/// `P` is the payload of the emitter's frequent event ([`EventSet::Frequent`]). The first listener of that event is
/// stored with its type, so that [`emit_frequent`](crate::emit_frequent) costs one indirect call.
pub struct Listeners<P: 'static = ()> {
    /// The first listener of the frequent event; `None` if there is none, and while it runs.
    frequent: Option<Box<dyn FnMut(P)>>,
    /// The key of the first listener of the frequent event; [`ListenerKey::NONE`] if there is none.
    frequent_key: ListenerKey,
    state: ListenerState,
    /// All other listeners; allocated with the first one.
    others: Option<Box<OtherListeners>>,
}

/// All listeners except the typed one, and the queued payloads; most emitters have neither.
#[derive(Default)]
struct OtherListeners {
    /// Most emitters have one listener besides the listener of the frequent event.
    entries: SmallVec<[ListenerEntry; 1]>,
    #[expect(
        clippy::box_collection,
        reason = "rarely used, and every handle pays for the size"
    )]
    nested: Option<Box<VecDeque<QueuedPayload>>>,
}

/// The number of registrations so far, flags, and a bit for each slot whose listeners are running, in one word.
#[derive(Clone, Copy, Default)]
struct ListenerState(u64);

impl ListenerState {
    const NONE: ListenerState = ListenerState(0);
    /// Set while the frequent event has listeners besides the typed one.
    const OTHERS: u64 = 1 << MAX_EVENTS;
    /// Set while payloads are queued behind a running emission.
    const NESTED: u64 = 1 << (MAX_EVENTS + 1);
    /// The bits above hold the registration number: enough for ten thousand registrations a second for a year.
    const NUMBER_SHIFT: u32 = MAX_EVENTS + 2;

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

/// A slot and a payload queued for its listeners.
type QueuedPayload = (u8, Box<dyn Any>);

/// The payload of the next emission, and its first listener.
pub(crate) type NextEmission<P> = (Box<dyn Any>, RunningListener<P>);

struct ListenerEntry {
    /// `None` while the callback runs.
    callback: Option<Box<dyn ErasedCallback>>,
    key: ListenerKey,
}

/// The result of starting an emission.
pub(crate) enum EmissionStart<P> {
    NoListener,
    /// The listeners of the event are running, so the payload must be queued.
    Running,
    Run(RunningListener<P>),
}

impl<P: 'static> Default for Listeners<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: 'static> Listeners<P> {
    /// Creates an empty list; the first listener allocates.
    pub const fn new() -> Self {
        Listeners {
            frequent: None,
            frequent_key: ListenerKey::NONE,
            state: ListenerState::NONE,
            others: None,
        }
    }

    #[inline]
    fn entries(&self) -> &[ListenerEntry] {
        match &self.others {
            Some(others) => &others.entries,
            None => &[],
        }
    }

    /// Updates the flag for other listeners of the frequent event, after the entries have changed.
    fn update_others_flag(&mut self) {
        let others =
            self.frequent_key != ListenerKey::NONE && self.has_entry(self.frequent_key.slot());
        self.state.set(ListenerState::OTHERS, others);
    }

    /// Returns whether an event has a listener.
    #[inline]
    pub fn has(&self, slot: u8) -> bool {
        self.has_frequent(slot) || self.has_entry(slot)
    }

    /// Returns the number of listeners of all events.
    pub fn len(&self) -> usize {
        self.entries().len() + usize::from(self.frequent_key != ListenerKey::NONE)
    }

    /// Returns whether there are no listeners.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes and returns all listeners; dropping the result drops their captures.
    #[must_use = "drop it when the listeners are no longer borrowed"]
    pub fn take(&mut self) -> Listeners<P> {
        Listeners {
            frequent: self.frequent.take(),
            frequent_key: std::mem::replace(&mut self.frequent_key, ListenerKey::NONE),
            state: ListenerState::NONE,
            others: self.others.take(),
        }
    }

    pub(crate) fn add<E: EventSet<Frequent = P>, Q: 'static, R: 'static>(
        &mut self,
        slot: u8,
        once: bool,
        mut callback: impl FnMut(Q) -> R + 'static,
    ) -> ListenerId {
        let key = ListenerKey::new(self.state.register(), slot, once);
        let is_first = self.frequent_key == ListenerKey::NONE && !self.has_entry(slot);
        if E::FREQUENT == Some(slot) && !once && is_first {
            // The slot implies that `Q` is `P`.
            let typed: Box<dyn FnMut(Q)> = Box::new(move |payload| drop(callback(payload)));
            let mut typed = Some(typed);
            let any: &mut dyn Any = &mut typed;
            self.frequent = any
                .downcast_mut::<Option<Box<dyn FnMut(P)>>>()
                .and_then(Option::take);
            self.frequent_key = key;
            return ListenerId(key.0);
        }
        self.others
            .get_or_insert_default()
            .entries
            .push(ListenerEntry {
                callback: Some(erased(callback)),
                key,
            });
        self.update_others_flag();
        ListenerId(key.0)
    }

    pub(crate) fn remove(&mut self, id: ListenerId) -> Option<RemovedListeners<P>> {
        if self.frequent_key.0 == id.0 && id != ListenerId::NONE {
            return Some(self.remove_frequent());
        }
        let entries = &mut self.others.as_mut()?.entries;
        let at = entries.iter().position(|entry| entry.key.0 == id.0)?;
        let removed = RemovedListeners {
            _frequent: None,
            _entries: vec![entries.remove(at)],
        };
        self.update_others_flag();
        Some(removed)
    }

    pub(crate) fn remove_slot(&mut self, slot: u8) -> RemovedListeners<P> {
        let mut removed = match self.has_frequent(slot) {
            true => self.remove_frequent(),
            false => RemovedListeners {
                _frequent: None,
                _entries: Vec::new(),
            },
        };
        if let Some(others) = &mut self.others {
            let (gone, kept): (Vec<_>, Vec<_>) = others
                .entries
                .drain(..)
                .partition(|entry| entry.key.slot() == slot);
            others.entries.extend(kept);
            removed._entries = gone;
        }
        self.update_others_flag();
        removed
    }

    fn remove_frequent(&mut self) -> RemovedListeners<P> {
        self.frequent_key = ListenerKey::NONE;
        self.update_others_flag();
        RemovedListeners {
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
        self.frequent_key != ListenerKey::NONE && self.frequent_key.slot() == slot
    }

    #[inline]
    fn has_entry(&self, slot: u8) -> bool {
        self.entries().iter().any(|entry| entry.key.slot() == slot)
    }

    /// Starts an emission of the frequent event if the typed listener is its only one; otherwise returns `None`.
    #[inline]
    pub(crate) fn start_frequent(&mut self, slot: u8) -> Option<Box<dyn FnMut(P)>> {
        if self.state.0 & (1 << slot | ListenerState::OTHERS) != 0 {
            return None;
        }
        let callback = self.frequent.take()?;
        self.state.start(slot);
        Some(callback)
    }

    /// Ends an emission started by [`start_frequent`](Self::start_frequent). If a payload is queued or the listener was
    /// removed, it leaves the callback in `callback` and returns `false`.
    #[inline]
    pub(crate) fn end_frequent(
        &mut self,
        slot: u8,
        callback: &mut Option<Box<dyn FnMut(P)>>,
    ) -> bool {
        let simple = self.state.0 & ListenerState::NESTED == 0 && self.is_frequent_running();
        if simple {
            self.state.end(slot);
            self.frequent = callback.take();
        }
        simple
    }

    /// Returns whether the listener of the frequent event is running and was not removed; a replacement would have set
    /// `frequent`.
    #[inline]
    fn is_frequent_running(&self) -> bool {
        self.frequent.is_none() && self.frequent_key != ListenerKey::NONE
    }

    #[inline]
    pub(crate) fn begin_slot(&mut self, slot: u8) -> EmissionStart<P> {
        if self.state.is_running(slot) {
            return EmissionStart::Running;
        }
        let limit = self.state.registered();
        let taken = if self.has_frequent(slot) {
            let more = self.has_entry(slot);
            self.frequent.take().map(|callback| RunningListener {
                callback: Callback::Frequent(callback),
                key: self.frequent_key,
                at: 0,
                more,
                limit,
            })
        } else {
            let entries = self.entries().iter().enumerate();
            let mut belonging = entries.filter(|(_, entry)| entry.key.slot() == slot);
            let Some((at, _)) = belonging.next() else {
                return EmissionStart::NoListener;
            };
            let more = belonging.next().is_some();
            self.take_entry(at, more, limit)
        };
        match taken {
            Some(taken) => {
                self.state.start(slot);
                EmissionStart::Run(taken)
            }
            None => EmissionStart::NoListener,
        }
    }

    /// Puts a callback back. Returns the listener if it was removed in the meantime or was registered with `once`.
    pub(crate) fn put_back(&mut self, taken: RunningListener<P>) -> Option<RunningListener<P>> {
        let callback = match taken.callback {
            Callback::Frequent(callback) if self.is_frequent_running() => {
                self.frequent = Some(callback);
                return None;
            }
            Callback::Frequent(_) => return Some(taken),
            Callback::Erased(callback) => callback,
        };
        let entries = self.others.as_mut().map(|others| &mut others.entries[..]);
        let entry = entries.and_then(|entries| match entries.get(taken.at as usize) {
            Some(entry) if entry.key == taken.key => entries.get_mut(taken.at as usize),
            _ => entries.iter_mut().find(|entry| entry.key == taken.key),
        });
        match entry {
            Some(entry) => {
                entry.callback = Some(callback);
                None
            }
            None => Some(RunningListener {
                callback: Callback::Erased(callback),
                ..taken
            }),
        }
    }

    /// Puts the last callback of an emission back and ends the emission. Returns the next emission if a listener emitted the
    /// same event in the meantime.
    #[inline]
    pub(crate) fn complete(
        &mut self,
        taken: RunningListener<P>,
    ) -> (Option<RunningListener<P>>, Option<NextEmission<P>>) {
        let slot = taken.key.slot();
        let done = self.put_back(taken);
        let next = if self.state.0 & ListenerState::NESTED == 0 {
            self.state.end(slot);
            None
        } else {
            self.begin_nested(slot)
        };
        (done, next)
    }

    /// Ends an emission and starts the next one if a payload is queued.
    #[cold]
    pub(crate) fn begin_nested(&mut self, slot: u8) -> Option<NextEmission<P>> {
        let payload = self.finish(slot)?;
        match self.begin_slot(slot) {
            EmissionStart::Run(taken) => Some((payload, taken)),
            EmissionStart::NoListener | EmissionStart::Running => None,
        }
    }

    /// Takes out the next listener of the emission, after the one at `position`.
    #[inline]
    pub(crate) fn take_next(&mut self, position: EmissionPosition) -> Option<RunningListener<P>> {
        self.take_after(position.slot, position.number, position.limit)
    }

    /// Ends an emission; returns the next payload if a listener emitted the same event in the meantime.
    fn finish(&mut self, slot: u8) -> Option<Box<dyn Any>> {
        self.state.end(slot);
        let queue = &mut self.others.as_mut()?.nested;
        let nested = queue.as_mut()?;
        let at = nested.iter().position(|(queued, _)| *queued == slot);
        let payload = at
            .and_then(|at| nested.remove(at))
            .map(|(_, payload)| payload);
        if nested.is_empty() {
            *queue = None;
            self.state.set(ListenerState::NESTED, false);
        }
        payload
    }

    /// Ends an emission whose listener panicked; returns the payloads queued for it.
    pub(crate) fn abandon(&mut self, slot: u8) -> Vec<QueuedPayload> {
        self.state.end(slot);
        match self
            .others
            .as_mut()
            .and_then(|others| others.nested.as_mut())
        {
            Some(nested) => {
                let (gone, kept): (Vec<_>, Vec<_>) =
                    nested.drain(..).partition(|(queued, _)| *queued == slot);
                nested.extend(kept);
                gone
            }
            None => Vec::new(),
        }
    }

    /// Queues the payload of an event whose listeners are running; returns the payload if the queue is full.
    pub(crate) fn enqueue(&mut self, slot: u8, payload: Box<dyn Any>) -> Result<(), Box<dyn Any>> {
        let others = self.others.get_or_insert_default();
        let nested = others.nested.get_or_insert_default();
        if nested.len() >= NESTED_LIMIT {
            return Err(payload);
        }
        nested.push_back((slot, payload));
        self.state.set(ListenerState::NESTED, true);
        Ok(())
    }

    fn take_after(&mut self, slot: u8, after: u64, limit: u64) -> Option<RunningListener<P>> {
        // Entries are sorted by registration number.
        let entries = self.entries();
        let first = entries.partition_point(|entry| entry.key.number() <= after);
        let belongs =
            |entry: &ListenerEntry| entry.key.slot() == slot && entry.key.number() <= limit;
        let at = first + entries[first..].iter().position(belongs)?;
        let more = entries[at + 1..].iter().any(belongs);
        self.take_entry(at, more, limit)
    }

    /// Removes a `once` listener when its emission starts.
    #[cold]
    fn remove_once(&mut self, at: usize) {
        if let Some(others) = &mut self.others {
            others.entries.remove(at);
        }
        self.update_others_flag();
    }

    #[inline]
    fn take_entry(&mut self, at: usize, more: bool, limit: u64) -> Option<RunningListener<P>> {
        let entry = self.others.as_mut()?.entries.get_mut(at)?;
        let key = entry.key;
        let callback = entry.callback.take()?;
        if key.is_once() {
            self.remove_once(at);
        }
        Some(RunningListener {
            callback: Callback::Erased(callback),
            key,
            at: at as u32,
            more,
            limit,
        })
    }
}

/// Listeners that were removed; dropping them drops their captures.
pub(crate) struct RemovedListeners<P> {
    _frequent: Option<Box<dyn FnMut(P)>>,
    _entries: Vec<ListenerEntry>,
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
    fn an_empty_list_takes_40_bytes_and_so_does_the_second_listener() {
        assert_eq!(size_of::<Listeners>(), 40);
        assert_eq!(size_of::<OtherListeners>(), 40);
    }
}
