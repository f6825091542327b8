//! The [`Emitter`] trait (`on`, `once`, `off`) and emission.

use std::any::Any;

use crate::callback::RunningListener;
use crate::event::{Event, EventKey, EventName, EventSet};
use crate::future::{Events, Next};
use crate::listeners::{EmissionStart, ListenerId, Listeners, NextEmission};

/// The payload of an emitter's frequent event.
pub type Frequent<E> = <<E as Emitter>::Events as EventSet>::Frequent;

/// A type that emits events.
///
/// A handle implements it by lending the [`Listeners`] that belong to the handle; all other methods are provided. Listeners
/// run in the order of registration. A listener added during an emission first runs in the next one; a listener removed
/// before its turn does not run. An event that is emitted while its own listeners run is delivered right after, in order.
///
/// # Examples
/// ```
/// use std::cell::RefCell;
/// use uptick_emitter::{Emitter, Listeners, emit, events};
///
/// thread_local!(static LISTENERS: RefCell<Vec<Listeners>> = const { RefCell::new(Vec::new()) });
///
/// /// A handle: an index into a table.
/// #[derive(Clone, Copy)]
/// struct Door(usize);
///
/// events! {
///     impl Door {
///         &'static str => {
///             /// A visitor has knocked.
///             KNOCK = "knock";
///         }
///     }
/// }
///
/// impl Emitter for Door {
///     type Events = Door;
///
///     fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
///         LISTENERS.with_borrow_mut(|table| table.get_mut(self.0).map(f))
///     }
/// }
///
/// LISTENERS.with_borrow_mut(|table| table.push(Listeners::new()));
/// let door = Door(0);
/// door.on("knock", move |who: &'static str| println!("{who} knocks at {}", door.0));
/// assert!(emit(&door, Door::KNOCK, "Ann"));
/// ```
pub trait Emitter {
    /// The set that declares the events; for a handle, the type of the handle.
    type Events: EventSet;

    /// Calls `f` with the listeners; returns `None` if the emitter is gone.
    ///
    /// `f` never runs callbacks and never drops captures of callbacks, so an implementation may hold a borrow during the
    /// call.
    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Frequent<Self>>) -> R) -> Option<R>;

    /// Called after a listener was added to the event in `slot`. The default does nothing.
    fn listener_added(&self, slot: u8) {
        let _ = slot;
    }

    /// Calls `callback` each time the event is emitted. The return value of the callback is ignored.
    ///
    /// The key is a typed constant such as `Connection::DATA`, or a string such as `"data"`:
    ///
    /// | key | checked when the program compiles | checked when `on` is called |
    /// |---|---|---|
    /// | a constant | that the event exists, and that the callback takes its payload, whose type is inferred | – |
    /// | a string | that some event of the emitter carries the payload that the callback takes | that the event exists and carries that payload |
    ///
    /// If the emitter is gone, it does nothing and returns [`ListenerId::NONE`].
    ///
    /// # Panics
    /// If the key is a string that names no event, or an event with a different payload. The message contains the event, its
    /// payload, the payload of the callback, and the events that exist. A constant never panics.
    #[track_caller]
    fn on<K, P, R>(&self, key: K, callback: impl FnMut(P) -> R + 'static) -> ListenerId
    where
        K: EventKey<Self::Events, P>,
        P: 'static,
        R: 'static,
    {
        add(self, key.event().slot(), false, callback)
    }

    /// Calls `callback` the next time the event is emitted, then removes it.
    ///
    /// # Panics
    /// As for [`on`](Emitter::on).
    #[track_caller]
    fn once<K, P, R>(&self, key: K, callback: impl FnMut(P) -> R + 'static) -> ListenerId
    where
        K: EventKey<Self::Events, P>,
        P: 'static,
        R: 'static,
    {
        add(self, key.event().slot(), true, callback)
    }

    /// Removes a listener; returns `false` if no listener has that id.
    fn off(&self, id: ListenerId) -> bool {
        let removed = self.with_listeners(|listeners| listeners.remove(id));
        matches!(removed, Some(Some(_)))
    }

    /// Returns the listeners of an event, in the order in which they run.
    ///
    /// # Panics
    /// If a string key names no event; the message lists the events that exist.
    #[track_caller]
    fn listeners(&self, key: impl EventName<Self::Events>) -> Vec<ListenerId> {
        let slot = key.slot();
        self.with_listeners(|listeners| listeners.ids(slot))
            .unwrap_or_default()
    }

    /// Removes the listeners of one event.
    ///
    /// # Panics
    /// If a string key names no event; the message lists the events that exist.
    #[track_caller]
    fn remove_listeners(&self, key: impl EventName<Self::Events>) {
        let slot = key.slot();
        let removed = self.with_listeners(|listeners| listeners.remove_slot(slot));
        drop(removed);
    }

    /// Removes the listeners of all events.
    fn remove_all_listeners(&self) {
        let removed = self.with_listeners(|listeners| listeners.take());
        drop(removed);
    }

    /// Returns a future for the next emission of an event; it resolves to `None` if the emitter drops its listeners first.
    ///
    /// The listener is registered when this returns, and removed when the future is dropped.
    ///
    /// # Panics
    /// As for [`on`](Emitter::on).
    #[track_caller]
    fn next<K, P>(&self, key: K) -> Next<Self, P>
    where
        K: EventKey<Self::Events, P>,
        P: 'static,
        Self: Clone + Sized,
    {
        Next::new(self, key.event())
    }

    /// Returns the emissions of an event as a [`Stream`](futures::Stream), which ends when the emitter drops its listeners.
    ///
    /// # Limits
    /// It queues 1,024 payloads for a slow reader; see [`Events::with_capacity`].
    ///
    /// # Panics
    /// As for [`on`](Emitter::on).
    #[track_caller]
    fn events<K, P>(&self, key: K) -> Events<Self, P>
    where
        K: EventKey<Self::Events, P>,
        P: 'static,
        Self: Clone + Sized,
    {
        Events::new(self, key.event())
    }
}

fn add<E, P, R>(
    emitter: &E,
    slot: u8,
    once: bool,
    callback: impl FnMut(P) -> R + 'static,
) -> ListenerId
where
    E: Emitter + ?Sized,
    P: 'static,
    R: 'static,
{
    let mut callback = Some(callback);
    let id = emitter.with_listeners(|listeners| {
        callback
            .take()
            .map(|callback| listeners.add::<E::Events, P, R>(slot, once, callback))
    });
    match id.flatten() {
        Some(id) => {
            emitter.listener_added(slot);
            id
        }
        None => ListenerId::NONE,
    }
}

/// Runs the listeners of an event; returns `false` if there is none.
///
/// Meant for implementors of [`Emitter`]; an [`EventEmitter`](crate::EventEmitter) has it as a method. While a listener of
/// the event runs, the payload is queued; it is delivered right after. No borrow is held while a callback runs. A callback
/// that panics stays registered; the emission does not reach the listeners after it, and queued emissions of the event are
/// dropped.
///
/// # Limits
/// [`NESTED_LIMIT`](crate::NESTED_LIMIT) payloads are queued per emitter; further ones are dropped and logged.
#[inline]
pub fn emit<E, P>(emitter: &E, event: Event<E::Events, P>, payload: P) -> bool
where
    E: Emitter + ?Sized,
    P: Clone + 'static,
{
    let slot = event.slot();
    match emitter.with_listeners(|listeners| listeners.begin_slot(slot)) {
        Some(EmissionStart::Run(first)) => {
            run(emitter, event, first, payload);
            true
        }
        Some(EmissionStart::Running) => {
            let queued = emitter
                .with_listeners(|listeners| listeners.enqueue(slot, Box::new(Some(payload))));
            if let Some(Err(_dropped)) = queued {
                tracing::error!(
                    event = event.name(),
                    "emission dropped: the listeners of the event emitted it again faster than they returned"
                );
            }
            true
        }
        Some(EmissionStart::NoListener) | None => {
            event.log_unhandled(&payload);
            false
        }
    }
}

/// Runs the listeners of the emitter's frequent event ([`events!`](crate::events)), as [`emit`] does; returns `false` if
/// there is none.
///
/// Cost with one listener: two short calls of `with_listeners` and one indirect call.
#[inline(always)]
pub fn emit_frequent<E: Emitter + ?Sized>(
    emitter: &E,
    event: Event<E::Events, Frequent<E>>,
    payload: Frequent<E>,
) -> bool {
    let slot = event.slot();
    let started = emitter.with_listeners(|listeners| listeners.start_frequent(slot));
    let Some(Some(callback)) = started else {
        return emit(emitter, event, payload);
    };
    let mut emission = FrequentEmission {
        emitter,
        event,
        callback: Some(callback),
    };
    if let Some(callback) = &mut emission.callback {
        callback(payload);
    }
    emission.complete();
    true
}

/// An emission of the frequent event to its only listener. If the listener panics, its callback is put back.
struct FrequentEmission<'a, E: Emitter + ?Sized> {
    emitter: &'a E,
    event: Event<E::Events, Frequent<E>>,
    callback: Option<Box<dyn FnMut(Frequent<E>)>>,
}

impl<E: Emitter + ?Sized> FrequentEmission<'_, E> {
    #[inline]
    fn complete(&mut self) {
        let slot = self.event.slot();
        let callback = &mut self.callback;
        let simple = self
            .emitter
            .with_listeners(|listeners| listeners.end_frequent(slot, callback));
        if simple != Some(true) {
            self.complete_slow();
        }
    }

    /// Completes the emission after its listener was removed or the event was emitted again.
    #[cold]
    fn complete_slow(&mut self) {
        let Some(callback) = self.callback.take() else {
            return;
        };
        let emission = Emission {
            emitter: self.emitter,
            slot: self.event.slot(),
            taken: Some(RunningListener::frequent(callback, self.event.slot())),
        };
        if let Some((nested, taken)) = emission.complete()
            && let Some(payload) = unpack(nested)
        {
            run(self.emitter, self.event, taken, payload);
        }
    }
}

impl<E: Emitter + ?Sized> Drop for FrequentEmission<'_, E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(callback) = self.callback.take() {
            let taken = RunningListener::frequent(callback, self.event.slot());
            abandon(self.emitter, self.event.slot(), taken);
        }
    }
}

#[inline]
fn run<E, P>(
    emitter: &E,
    event: Event<E::Events, P>,
    first: RunningListener<Frequent<E>>,
    payload: P,
) where
    E: Emitter + ?Sized,
    P: Clone + 'static,
{
    let slot = event.slot();
    let mut payload = Some(payload);
    let mut next = Some(first);
    while let Some(taken) = next.take() {
        let mut emission = Emission {
            emitter,
            slot,
            taken: Some(taken),
        };
        next = if emission.has_more() {
            let mut copy = payload.clone();
            emission.call(&mut copy);
            match emission.step() {
                Some(taken) => Some(taken),
                // The remaining listeners have been removed.
                None => {
                    payload = None;
                    let nested = emitter
                        .with_listeners(|listeners| listeners.begin_nested(slot))
                        .flatten();
                    nested.map(|(nested, taken)| {
                        payload = unpack(nested);
                        taken
                    })
                }
            }
        } else {
            emission.call(&mut payload);
            emission.complete().map(|(nested, taken)| {
                payload = unpack(nested);
                taken
            })
        };
    }
}

#[cold]
fn unpack<P: 'static>(mut payload: Box<dyn Any>) -> Option<P> {
    payload.downcast_mut::<Option<P>>().and_then(Option::take)
}

/// An emission in progress. If a callback panics, dropping it restores the listeners.
struct Emission<'a, E: Emitter + ?Sized> {
    emitter: &'a E,
    slot: u8,
    taken: Option<RunningListener<Frequent<E>>>,
}

impl<E: Emitter + ?Sized> Emission<'_, E> {
    #[inline]
    fn has_more(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.more)
    }

    #[inline]
    fn call(&mut self, payload: &mut dyn Any) {
        if let Some(taken) = &mut self.taken {
            taken.callback.call(payload);
        }
    }

    /// Puts the finished callback back and takes the next one of the same emission.
    fn step(mut self) -> Option<RunningListener<Frequent<E>>> {
        let mut taken = self.taken.take();
        let position = taken.as_ref().map(RunningListener::position);
        let stepped = self.emitter.with_listeners(|listeners| {
            let done = taken.take().and_then(|taken| listeners.put_back(taken));
            let next = position.and_then(|position| listeners.take_next(position));
            (next, done)
        });
        // The captures of a removed listener are dropped here, after the borrow.
        stepped.and_then(|(next, _done)| next)
    }

    /// Puts the last callback back and ends the emission; returns the next emission if one is queued.
    #[inline]
    fn complete(mut self) -> Option<NextEmission<Frequent<E>>> {
        let mut taken = self.taken.take();
        let completed = self.emitter.with_listeners(|listeners| {
            let taken = taken.take()?;
            Some(listeners.complete(taken))
        });
        // The captures of a removed listener are dropped here, after the borrow.
        completed.flatten().and_then(|(_done, next)| next)
    }
}

impl<E: Emitter + ?Sized> Drop for Emission<'_, E> {
    #[inline]
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            abandon(self.emitter, self.slot, taken);
        }
    }
}

/// Ends an emission whose callback has panicked.
#[cold]
fn abandon<E: Emitter + ?Sized>(emitter: &E, slot: u8, taken: RunningListener<Frequent<E>>) {
    let mut taken = Some(taken);
    let abandoned = emitter.with_listeners(|listeners| {
        let done = taken.take().and_then(|taken| listeners.put_back(taken));
        (done, listeners.abandon(slot))
    });
    drop(abandoned);
}
