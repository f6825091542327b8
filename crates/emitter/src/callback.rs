//! Callbacks with their types erased, and one that is out of its list while it runs.

use std::any::Any;
use std::marker::PhantomData;

/// A callback whose payload type is erased; the payload is passed as an `Option<P>` behind `dyn Any`.
pub(crate) trait Callback {
    fn call(&mut self, payload: &mut dyn Any);
}

struct Typed<P, R, F> {
    callback: F,
    marker: PhantomData<fn(P) -> R>,
}

/// Erases the payload type of a callback.
pub(crate) fn erased<P: 'static, R: 'static>(
    callback: impl FnMut(P) -> R + 'static,
) -> Box<dyn Callback> {
    Box::new(Typed {
        callback,
        marker: PhantomData,
    })
}

impl<P: 'static, R, F: FnMut(P) -> R> Callback for Typed<P, R, F> {
    #[inline]
    fn call(&mut self, payload: &mut dyn Any) {
        if let Some(payload) = payload.downcast_mut::<Option<P>>().and_then(Option::take) {
            (self.callback)(payload);
        }
    }
}

/// The registration number, the slot and the once flag in one word: it keeps an entry at 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    pub(crate) const NONE: Key = Key(0);
    const NUMBER_SHIFT: u32 = 6;
    const ONCE: u64 = 1 << 5;
    const SLOT: u64 = 31;

    pub(crate) fn new(number: u64, slot: u8, once: bool) -> Self {
        let once = if once { Self::ONCE } else { 0 };
        Key(number << Self::NUMBER_SHIFT | once | u64::from(slot) & Self::SLOT)
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

/// A callback in its form: of the frequent event, or of any event.
pub(crate) enum Form<P> {
    Frequent(Box<dyn FnMut(P)>),
    Erased(Box<dyn Callback>),
}

impl<P: 'static> Form<P> {
    /// Calls the callback with the payload in an `Option`, which it takes out.
    #[inline]
    pub(crate) fn call(&mut self, payload: &mut dyn Any) {
        match self {
            Form::Frequent(callback) => {
                if let Some(payload) = payload.downcast_mut::<Option<P>>().and_then(Option::take) {
                    callback(payload);
                }
            }
            Form::Erased(callback) => callback.call(payload),
        }
    }
}

/// A callback that is out of the list while it runs.
pub(crate) struct Taken<P> {
    pub(crate) callback: Form<P>,
    pub(crate) key: Key,
    /// Its position in the list when it was taken; it may have moved since.
    pub(crate) at: u32,
    /// Whether another listener was waiting for the same emission when this one was taken.
    pub(crate) more: bool,
    /// Only listeners registered up to this number take part in the emission.
    pub(crate) limit: u64,
}

impl<P: 'static> Taken<P> {
    /// The frequent event's callback, whose emission is not simple any more.
    #[cold]
    pub(crate) fn frequent(callback: Box<dyn FnMut(P)>, slot: u8) -> Self {
        Taken {
            callback: Form::Frequent(callback),
            key: Key::new(0, slot, false),
            at: 0,
            more: false,
            limit: 0,
        }
    }

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
    pub(crate) slot: u8,
    pub(crate) number: u64,
    pub(crate) limit: u64,
}
