//! An emitter for user-defined types.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::emitter::{Emitter, emit};
use crate::event::{EventKey, EventSet};
use crate::listeners::Listeners;

/// An emitter of the events in the set `E`; clones share their listeners.
///
/// A callback that captures a clone of the emitter it is registered on keeps the emitter alive until
/// [`remove_all_listeners`](Emitter::remove_all_listeners).
///
/// # Examples
/// ```
/// use uptick_emitter::{Emitter, EventEmitter, events};
///
/// struct Counter;
/// events! {
///     impl Counter {
///         u32 => {
///             /// The count has changed.
///             CHANGE = "change";
///         }
///     }
/// }
///
/// let counter = EventEmitter::<Counter>::new();
/// counter.on("change", |count: u32| assert_eq!(count, 1));
/// assert!(counter.emit("change", 1_u32));
/// ```
pub struct EventEmitter<E: EventSet> {
    listeners: Rc<RefCell<Listeners<E::Frequent>>>,
    marker: PhantomData<fn(&E)>,
}

impl<E: EventSet> EventEmitter<E> {
    /// Creates an emitter without listeners.
    pub fn new() -> Self {
        EventEmitter {
            listeners: Rc::new(RefCell::new(Listeners::new())),
            marker: PhantomData,
        }
    }

    /// Runs the listeners of an event; returns `false` if there is none.
    ///
    /// # Panics
    /// If a string key names no event that carries a `P`; the message lists the events that exist.
    #[track_caller]
    pub fn emit<K, P>(&self, key: K, payload: P) -> bool
    where
        K: EventKey<E, P>,
        P: Clone + 'static,
    {
        emit(self, key.event(), payload)
    }
}

impl<E: EventSet> Emitter for EventEmitter<E> {
    type Events = E;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<E::Frequent>) -> R) -> Option<R> {
        Some(f(&mut self.listeners.borrow_mut()))
    }
}

impl<E: EventSet> Clone for EventEmitter<E> {
    fn clone(&self) -> Self {
        EventEmitter {
            listeners: Rc::clone(&self.listeners),
            marker: PhantomData,
        }
    }
}

impl<E: EventSet> Default for EventEmitter<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: EventSet> fmt::Debug for EventEmitter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventEmitter")
            .field("events", &E::NAMES)
            .field("listeners", &self.listeners.borrow().len())
            .finish()
    }
}
