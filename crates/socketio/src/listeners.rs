//! Listeners of events whose names are chosen by the program.

use std::cell::RefCell;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::protocol::packet::Arguments;

/// The id of a listener of a socket or a namespace. Pass it to `off` to remove the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventListenerId(u64);

impl EventListenerId {
    /// An id that belongs to no listener. It is returned when the socket is already disconnected.
    pub const NONE: EventListenerId = EventListenerId(0);
}

/// A received event, as passed to listeners.
#[derive(Debug)]
pub(crate) struct ReceivedEvent<'a, C> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Arguments,
    /// The context of the event: the data needed for an acknowledgement.
    pub(crate) context: C,
}

type Callback<C> = Box<dyn FnMut(&ReceivedEvent<'_, C>)>;

/// The listeners of one emitter, in the order in which they run.
///
/// Cost of an emission: one comparison of names per listener. No allocation for up to four listeners of the event.
pub(crate) struct NamedListeners<C> {
    entries: Vec<ListenerEntry<C>>,
    last_id: u64,
}

struct ListenerEntry<C> {
    /// The name of the event; `None` for listeners of all events.
    name: Option<Rc<str>>,
    id: u64,
    once: bool,
    /// `None` while the callback runs.
    callback: Option<Callback<C>>,
}

impl<C> Default for NamedListeners<C> {
    fn default() -> Self {
        NamedListeners {
            entries: Vec::new(),
            last_id: 0,
        }
    }
}

/// The position at which a listener is inserted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenerPosition {
    First,
    Last,
}

impl<C: 'static> NamedListeners<C> {
    /// Adds a listener of the event `name`, or of all events if `name` is `None`.
    pub(crate) fn add(
        &mut self,
        name: Option<&str>,
        place: ListenerPosition,
        once: bool,
        callback: impl FnMut(&ReceivedEvent<'_, C>) + 'static,
    ) -> EventListenerId {
        self.last_id += 1;
        let entry = ListenerEntry {
            name: name.map(interned),
            id: self.last_id,
            once,
            callback: Some(Box::new(callback)),
        };
        match place {
            ListenerPosition::First => self.entries.insert(0, entry),
            // Most sockets have few listeners.
            ListenerPosition::Last if self.entries.len() == self.entries.capacity() => {
                self.entries.reserve_exact(self.entries.len().max(2) / 2);
                self.entries.push(entry);
            }
            ListenerPosition::Last => self.entries.push(entry),
        }
        EventListenerId(self.last_id)
    }

    /// Removes a listener, and returns its callback. The caller must drop it while no `RefCell` is borrowed.
    pub(crate) fn remove(&mut self, id: EventListenerId) -> Option<impl Sized + use<C>> {
        let at = self.entries.iter().position(|entry| entry.id == id.0)?;
        Some(self.entries.remove(at))
    }

    /// Removes the listeners of an event, and returns them. The caller must drop them while no `RefCell` is borrowed.
    pub(crate) fn remove_named(&mut self, name: &str) -> impl Sized + use<C> {
        let is_named = |entry: &mut ListenerEntry<C>| entry.name.as_deref() == Some(name);
        self.entries.extract_if(.., is_named).collect::<Vec<_>>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of listeners of an event.
    pub(crate) fn count(&self, name: &str) -> usize {
        let is_named = |entry: &&ListenerEntry<C>| entry.name.as_deref() == Some(name);
        self.entries.iter().filter(is_named).count()
    }

    fn ids(&self, name: Option<&str>) -> SmallVec<[u64; 4]> {
        let is_named = |entry: &&ListenerEntry<C>| entry.name.as_deref() == name;
        let named = self.entries.iter().filter(is_named);
        named.map(|entry| entry.id).collect()
    }

    fn take(&mut self, id: u64) -> Option<(Callback<C>, bool)> {
        let at = self.entries.iter().position(|entry| entry.id == id)?;
        match self.entries[at].once {
            true => Some((self.entries.remove(at).callback?, true)),
            false => Some((self.entries[at].callback.take()?, false)),
        }
    }

    /// Puts a callback back after it has run. Returns it if the listener was removed in the meantime.
    fn put_back(&mut self, id: u64, callback: Callback<C>) -> Option<Callback<C>> {
        match self.entries.iter_mut().find(|entry| entry.id == id) {
            Some(entry) => {
                entry.callback = Some(callback);
                None
            }
            None => Some(callback),
        }
    }
}

/// Calls the listeners of the event `name`, or the listeners of all events if `name` is `None`. Returns `true` if there was one.
///
/// Listeners that are added during the emission are not called, nor are listeners that are removed before their turn. Nothing is borrowed while a listener runs.
pub(crate) fn emit<C: 'static>(
    listeners: &RefCell<NamedListeners<C>>,
    name: Option<&str>,
    event: &ReceivedEvent<'_, C>,
) -> bool {
    let ids = listeners.borrow().ids(name);
    for &id in &ids {
        let taken = listeners.borrow_mut().take(id);
        let Some((callback, once)) = taken else {
            continue;
        };
        let mut running = RunningListener {
            listeners,
            id,
            callback: Some(callback),
            once,
        };
        if let Some(callback) = &mut running.callback {
            callback(event);
        }
    }
    !ids.is_empty()
}

/// A callback that is running. It is put back when this value is dropped, also after a panic.
struct RunningListener<'a, C: 'static> {
    listeners: &'a RefCell<NamedListeners<C>>,
    id: u64,
    callback: Option<Callback<C>>,
    once: bool,
}

impl<C: 'static> Drop for RunningListener<'_, C> {
    fn drop(&mut self) {
        if !self.once
            && let Some(callback) = self.callback.take()
        {
            let removed = self.listeners.borrow_mut().put_back(self.id, callback);
            drop(removed);
        }
    }
}

/// Maximum number of shared names. A program has few event names, and each of them is used by many sockets.
const MAX_SHARED_NAMES: usize = 1024;

thread_local! {
    static NAMES: RefCell<std::collections::HashSet<Rc<str>>> = RefCell::default();
}

/// Returns a shared copy of a name.
fn interned(name: &str) -> Rc<str> {
    let shared = NAMES.try_with(|names| {
        let mut names = names.borrow_mut();
        if let Some(name) = names.get(name) {
            return Rc::clone(name);
        }
        let shared: Rc<str> = name.into();
        if names.len() >= MAX_SHARED_NAMES {
            names.retain(|name| Rc::strong_count(name) > 1);
        }
        if names.len() < MAX_SHARED_NAMES {
            names.insert(Rc::clone(&shared));
        }
        shared
    });
    shared.unwrap_or_else(|_| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Rc<RefCell<Vec<&'static str>>>;

    fn listen(
        listeners: &RefCell<NamedListeners<()>>,
        log: &Log,
        name: Option<&str>,
        entry: &'static str,
    ) -> EventListenerId {
        let log = Rc::clone(log);
        let callback = move |_: &ReceivedEvent<'_, ()>| log.borrow_mut().push(entry);
        listeners
            .borrow_mut()
            .add(name, ListenerPosition::Last, false, callback)
    }

    fn emit_named(listeners: &RefCell<NamedListeners<()>>, name: &str) -> bool {
        let event = ReceivedEvent {
            name,
            arguments: &Arguments::default(),
            context: (),
        };
        emit(listeners, Some(name), &event)
    }

    #[test]
    fn listeners_run_in_the_order_of_registration_until_they_are_removed() {
        let listeners = RefCell::new(NamedListeners::default());
        let log = Log::default();
        let first = listen(&listeners, &log, Some("a"), "first");
        listen(&listeners, &log, Some("b"), "other");
        listen(&listeners, &log, Some("a"), "second");
        assert!(emit_named(&listeners, "a"));
        assert!(!emit_named(&listeners, "c"));
        assert!(listeners.borrow_mut().remove(first).is_some());
        assert!(emit_named(&listeners, "a"));
        assert_eq!(*log.borrow(), ["first", "second", "second"]);
        drop(listeners.borrow_mut().remove_named("a"));
        assert_eq!(listeners.borrow().count("a"), 0);
        assert!(emit_named(&listeners, "b"));
    }

    #[test]
    fn a_listener_added_by_a_listener_runs_in_the_next_emission() {
        let listeners = Rc::new(RefCell::new(NamedListeners::default()));
        let log = Log::default();
        let (own, entries) = (Rc::clone(&listeners), Rc::clone(&log));
        let callback = move |_: &ReceivedEvent<'_, ()>| {
            listen(&own, &entries, Some("a"), "added");
        };
        listeners
            .borrow_mut()
            .add(Some("a"), ListenerPosition::Last, true, callback);
        emit_named(&listeners, "a");
        assert!(log.borrow().is_empty());
        emit_named(&listeners, "a");
        assert_eq!(*log.borrow(), ["added"]);
    }

    #[test]
    fn a_listener_that_panics_stays_registered() {
        let listeners = RefCell::new(NamedListeners::default());
        listeners.borrow_mut().add(
            Some("a"),
            ListenerPosition::Last,
            false,
            |_: &ReceivedEvent<'_, ()>| panic!("on purpose"),
        );
        let emission = std::panic::AssertUnwindSafe(|| emit_named(&listeners, "a"));
        assert!(std::panic::catch_unwind(emission).is_err());
        assert_eq!(listeners.borrow().count("a"), 1);
        assert!(listeners.borrow().entries[0].callback.is_some());
    }
}
