//! A stream: the entries that this server adds and reads.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use uptick_event_loop::{JoinHandle, spawn};
use uptick_redis::{Redis, StreamEntry};

use super::StreamsShared;
use super::entry_id::EntryId;
use super::namespace::StreamsNamespace;
use super::writer::WriteQueue;
use crate::adapter::redis::wire::stream_entry::ReceivedEntry;
use crate::{Promise, Resolver};

/// A stream that the namespaces of this server use.
pub(super) struct Stream {
    pub(super) state: Rc<StreamState>,
    reader: Cell<Option<JoinHandle<()>>>,
}

/// The state that the tasks of a stream use.
pub(super) struct StreamState {
    pub(super) name: String,
    pub(super) redis: Redis,
    pub(super) shared: Rc<StreamsShared>,
    pub(super) queue: WriteQueue,
    /// The namespaces, by name.
    namespaces: RefCell<HashMap<Rc<str>, Weak<StreamsNamespace>>>,
    /// The id of the last entry that was read; `None` until reading has started.
    position: Cell<Option<EntryId>>,
    /// Resolved when the position has reached an id, or reading has started.
    waiting: RefCell<Vec<(EntryId, Resolver<()>)>>,
}

impl Stream {
    pub(super) fn open(name: String, redis: Redis, shared: Rc<StreamsShared>) -> Rc<Stream> {
        let state = Rc::new(StreamState {
            name,
            redis,
            queue: WriteQueue::default(),
            shared,
            namespaces: RefCell::default(),
            position: Cell::new(None),
            waiting: RefCell::default(),
        });
        let reader = spawn(super::reader::read(Rc::clone(&state)));
        spawn(super::writer::write(Rc::clone(&state)));
        Rc::new(Stream {
            state,
            reader: Cell::new(Some(reader)),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.cancel();
        }
        // Entries that are queued are still added.
        self.state.queue.close();
        self.state.release();
    }
}

impl StreamState {
    pub(super) fn add_namespace(&self, name: Rc<str>, namespace: Weak<StreamsNamespace>) {
        self.namespaces.borrow_mut().insert(name, namespace);
    }

    pub(super) fn remove_namespace(&self, name: &str) {
        self.namespaces.borrow_mut().remove(name);
    }

    /// Returns the id of the last entry that was read.
    pub(super) fn position(&self) -> Option<EntryId> {
        self.position.get()
    }

    /// Returns a promise that is resolved once reading has started and all entries up to `id` have been read, or when
    /// the stream is closed.
    pub(super) fn reached(&self, id: EntryId) -> Promise<()> {
        if self.position.get().is_some_and(|position| position >= id) {
            return Promise::ready(());
        }
        let (promise, resolver) = Promise::pending();
        self.waiting.borrow_mut().push((id, resolver));
        promise
    }

    /// Resolves the promises of [`reached`](Self::reached), because the stream is no longer read.
    pub(super) fn release(&self) {
        for (_, resolver) in self.waiting.take() {
            resolver.resolve(());
        }
    }

    pub(super) fn set_position(&self, position: EntryId) {
        self.position.set(Some(position));
        if self.waiting.borrow().is_empty() {
            return;
        }
        let waiting = self.waiting.take();
        let (reached, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(id, _)| *id <= position);
        self.waiting.borrow_mut().extend(waiting);
        for (_, resolver) in reached {
            resolver.resolve(());
        }
    }

    /// Passes an entry to its namespace.
    pub(super) fn receive(&self, entry: &StreamEntry) {
        let Some(id) = EntryId::parse(&entry.id) else {
            return;
        };
        match ReceivedEntry::of(&entry.fields) {
            Ok(received) => {
                let namespace = self.namespaces.borrow().get(received.namespace).cloned();
                match namespace.and_then(|namespace| namespace.upgrade()) {
                    Some(namespace) => namespace.entry_received(id, &entry.id, received),
                    None => {
                        let counters = &self.shared.counters;
                        counters.update(|stats| stats.ignored += 1);
                    }
                }
            }
            Err(error) => {
                let counters = &self.shared.counters;
                counters.malformed(&self.name, &error.to_string());
            }
        }
        self.set_position(id);
    }
}
