//! Type-erased callbacks, and callbacks taken out of their list while they run.

use std::any::Any;
use std::marker::PhantomData;

/// A callback with an erased payload type; the payload is passed as an `Option<P>` behind `dyn Any`.
pub(crate) trait ErasedCallback {
    fn call(&mut self, payload: &mut dyn Any);
}

struct TypedCallback<P, R, F> {
    callback: F,
    marker: PhantomData<fn(P) -> R>,
}

/// Erases the payload type of a callback.
pub(crate) fn erased<P: 'static, R: 'static>(
    callback: impl FnMut(P) -> R + 'static,
) -> Box<dyn ErasedCallback> {
    Box::new(TypedCallback {
        callback,
        marker: PhantomData,
    })
}

impl<P: 'static, R, F: FnMut(P) -> R> ErasedCallback for TypedCallback<P, R, F> {
    #[inline]
    fn call(&mut self, payload: &mut dyn Any) {
        if let Some(payload) = payload.downcast_mut::<Option<P>>().and_then(Option::take) {
            (self.callback)(payload);
        }
    }
}

/// The registration number, the slot and the once flag in one word, which keeps an entry at 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenerKey(pub(crate) u64);

impl ListenerKey {
    pub(crate) const NONE: ListenerKey = ListenerKey(0);
    const NUMBER_SHIFT: u32 = 6;
    const ONCE: u64 = 1 << 5;
    const SLOT: u64 = 31;

    pub(crate) fn new(number: u64, slot: u8, once: bool) -> Self {
        let once = if once { Self::ONCE } else { 0 };
        ListenerKey(number << Self::NUMBER_SHIFT | once | u64::from(slot) & Self::SLOT)
    }

    pub(crate) fn number(self) -> u64 {
        self.0 >> Self::NUMBER_SHIFT
    }

    pub(crate) fn slot(self) -> u8 {
        (self.0 & Self::SLOT) as u8
    }

    pub(crate) fn is_once(self) -> bool {
        self.0 & Self::ONCE != 0
    }
}

/// The callback of a listener: typed for the frequent event, erased for all others.
pub(crate) enum Callback<P> {
    Frequent(Box<dyn FnMut(P)>),
    Erased(Box<dyn ErasedCallback>),
}

impl<P: 'static> Callback<P> {
    /// Calls the callback with the payload, which is taken out of its `Option`.
    #[inline]
    pub(crate) fn call(&mut self, payload: &mut dyn Any) {
        match self {
            Callback::Frequent(callback) => {
                if let Some(payload) = payload.downcast_mut::<Option<P>>().and_then(Option::take) {
                    callback(payload);
                }
            }
            Callback::Erased(callback) => callback.call(payload),
        }
    }
}

/// A listener whose callback is out of the list while it runs.
pub(crate) struct RunningListener<P> {
    pub(crate) callback: Callback<P>,
    pub(crate) key: ListenerKey,
    /// Its position in the list when it was taken out; it may have moved since.
    pub(crate) at: u32,
    /// `true` if another listener of the same emission followed when this one was taken out.
    pub(crate) more: bool,
    /// The highest registration number that takes part in the emission.
    pub(crate) limit: u64,
}

impl<P: 'static> RunningListener<P> {
    /// Creates the entry for a running typed listener of the frequent event, to continue the emission as for other events.
    #[cold]
    pub(crate) fn frequent(callback: Box<dyn FnMut(P)>, slot: u8) -> Self {
        RunningListener {
            callback: Callback::Frequent(callback),
            key: ListenerKey::new(0, slot, false),
            at: 0,
            more: false,
            limit: 0,
        }
    }

    pub(crate) fn position(&self) -> EmissionPosition {
        EmissionPosition {
            slot: self.key.slot(),
            number: self.key.number(),
            limit: self.limit,
        }
    }
}

/// The progress of an emission: the last listener that ran, and the last one that takes part.
#[derive(Clone, Copy)]
pub(crate) struct EmissionPosition {
    pub(crate) slot: u8,
    pub(crate) number: u64,
    pub(crate) limit: u64,
}
