//! Event keys: a name, a slot and a payload type, declared once for each emitter.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use crate::Excerpt;

/// Maximum number of bytes logged of a payload that no listener receives.
const UNHANDLED_TEXT_LIMIT: usize = 1024;

/// Maximum number of events of an emitter.
pub(crate) const MAX_EVENTS: u32 = 24;

/// A typed event key: the event called [`name`](Event::name) of the event set `E`, carrying a `P`.
///
/// Events are constants, declared by [`events!`](crate::events).
pub struct Event<E: ?Sized, P> {
    name: &'static str,
    slot: u8,
    unhandled: Option<fn(&P) -> String>,
    marker: PhantomData<fn(&E) -> P>,
}

impl<E: ?Sized, P> Clone for Event<E, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized, P> Copy for Event<E, P> {}

impl<E: ?Sized, P> fmt::Debug for Event<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name)
            .field("slot", &self.slot)
            .finish()
    }
}

impl<E: ?Sized, P> Event<E, P> {
    /// Creates the key of the event in `slot`; [`events!`](crate::events) numbers the slots.
    ///
    /// # Panics
    /// At compile time, if `slot` is 24 or more: an emitter has at most 24 events.
    pub const fn new(name: &'static str, slot: u8) -> Self {
        assert!(
            (slot as u32) < MAX_EVENTS,
            "an emitter has at most 24 events"
        );
        Event {
            name,
            slot,
            unhandled: None,
            marker: PhantomData,
        }
    }

    /// Logs the payload at warn level when the event is emitted without a listener.
    pub const fn warn(self) -> Self
    where
        P: fmt::Display,
    {
        Event {
            unhandled: Some(|payload| payload.to_string()),
            ..self
        }
    }

    /// Returns the name that string keys use.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the index of the event in its set.
    pub const fn slot(&self) -> u8 {
        self.slot
    }

    pub(crate) fn log_unhandled(&self, payload: &P) {
        if let Some(describe) = self.unhandled {
            tracing::warn!(
                emitter = short_type_name::<E>(),
                event = self.name,
                "{}",
                Excerpt::new(describe(payload)).limit(UNHANDLED_TEXT_LIMIT)
            );
        }
    }
}

/// The events of an emitter, by slot; implemented by [`events!`](crate::events).
pub trait EventSet: 'static {
    /// The payload of the frequent event; `()` if no event is marked as frequent.
    type Frequent: Clone + 'static;

    /// The slot of the frequent event, if one is marked.
    const FREQUENT: Option<u8> = None;

    /// The event names, indexed by slot.
    const NAMES: &'static [&'static str];

    /// The payload types as written in the source, indexed by slot; shown in panic messages.
    const PAYLOADS: &'static [&'static str] = &[];
}

/// An event set with events whose payload is a `P`; implemented by [`events!`](crate::events).
#[diagnostic::on_unimplemented(
    message = "`{Self}` emits no event with the payload `{P}`",
    label = "the callback takes a `{P}`, which no event of `{Self}` carries",
    note = "with a typed constant as the key, such as `Connection::DATA`, the payload type is inferred: `on(Connection::DATA, |chunk| …)`"
)]
pub trait Emits<P: 'static>: EventSet {
    /// The events that carry a `P`.
    const EVENTS: &'static [Event<Self, P>];
}

/// A key for [`on`](crate::Emitter::on): a typed constant, or a string where the set emits a `P`.
#[diagnostic::on_unimplemented(
    message = "`{E}` emits no event with the payload `{P}`",
    label = "the callback takes a `{P}`, which no event of `{E}` carries",
    note = "a key is a string or a typed constant, such as `Connection::DATA`, with which the payload type is inferred"
)]
pub trait EventKey<E: ?Sized, P> {
    /// Returns the event that the key names.
    ///
    /// # Panics
    /// If a string names no event of the set that carries a `P`. The message contains the event, its payload, the payload of
    /// the callback, and the events that exist.
    #[track_caller]
    fn event(self) -> Event<E, P>;
}

impl<E: ?Sized, P> EventKey<E, P> for Event<E, P> {
    fn event(self) -> Event<E, P> {
        self
    }
}

impl<E: Emits<P>, P: 'static> EventKey<E, P> for &str {
    #[track_caller]
    fn event(self) -> Event<E, P> {
        match E::EVENTS.iter().find(|event| event.name == self) {
            Some(event) => *event,
            None => unknown_event::<E>(self, Some((type_name::<P>(), &names_of::<E, P>()))),
        }
    }
}

/// A key whose payload type does not matter: a typed constant or a string.
pub trait EventName<E: ?Sized> {
    /// Returns the slot of the event that the key names.
    ///
    /// # Panics
    /// If a string names no event of the set; the message lists the events that exist.
    #[track_caller]
    fn slot(self) -> u8;
}

impl<E: ?Sized, P> EventName<E> for Event<E, P> {
    fn slot(self) -> u8 {
        self.slot
    }
}

impl<E: EventSet> EventName<E> for &str {
    #[track_caller]
    fn slot(self) -> u8 {
        match E::NAMES.iter().position(|name| *name == self) {
            Some(slot) => slot as u8,
            None => unknown_event::<E>(self, None),
        }
    }
}

fn names_of<E: Emits<P>, P: 'static>() -> Vec<&'static str> {
    E::EVENTS.iter().map(|event| event.name).collect()
}

#[track_caller]
#[cold]
#[expect(
    clippy::panic,
    reason = "a misspelt event name is a bug in the program, found when it registers the listener"
)]
fn unknown_event<E: EventSet>(name: &str, payload: Option<(&str, &[&str])>) -> ! {
    let emitter = short_type_name::<E>();
    let quoted = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let slot = E::NAMES.iter().position(|known| *known == name);
    match (payload, slot) {
        (Some((payload, names)), Some(slot)) => {
            let carried = E::PAYLOADS.get(slot).unwrap_or(&"_");
            panic!(
                "the event \"{name}\" of {emitter} carries a `{carried}`, but the callback takes a `{payload}`; the events that carry a `{payload}`: {}",
                quoted(names)
            )
        }
        _ => panic!(
            "{emitter} has no event \"{name}\"; its events: {}",
            quoted(E::NAMES)
        ),
    }
}

fn short_type_name<E: ?Sized>() -> &'static str {
    let full = type_name::<E>();
    let path_end = full.find('<').unwrap_or(full.len());
    match full[..path_end].rfind("::") {
        Some(at) => &full[at + 2..],
        None => full,
    }
}

/// Declares the events of an emitter, grouped by payload type.
///
/// For each event it defines a public constant of type [`Event`] on the type, and it implements [`EventSet`] and, for each
/// payload, [`Emits`]. Each payload type may have only one group. `, warn` logs the payload at warn level when the event has
/// no listener; use it for errors.
///
/// `#![frequent(NAME: Payload)]` at the top marks the event that [`emit_frequent`](crate::emit_frequent) emits: one that is
/// emitted far more often than the others.
///
/// # Examples
/// ```
/// struct Player;
///
/// uptick_emitter::events! {
///     impl Player {
///         u32 => {
///             /// The player's new score.
///             SCORE = "score";
///         }
///         () => {
///             /// The player has joined.
///             JOINED = "joined";
///             /// The player has left.
///             LEFT = "left";
///         }
///         String => {
///             /// Something went wrong.
///             ERROR = "error", warn;
///         }
///     }
/// }
///
/// use uptick_emitter::{Emitter, EventEmitter};
/// let player = EventEmitter::<Player>::new();
/// player.on("score", |score: u32| println!("{score}"));
/// player.on(Player::LEFT, |()| println!("bye"));
/// player.emit(Player::SCORE, 10);
/// ```
#[macro_export]
macro_rules! events {
    (impl $set:ty { #![frequent($frequent:ident: $type:ty)] $($events:tt)+ }) => {
        $crate::events!(@set $set, {
            type Frequent = $type;
            const FREQUENT: Option<u8> = {
                let event: $crate::Event<$set, $type> = <$set>::$frequent;
                Some(event.slot())
            };
        }, $($events)+);
    };
    (impl $set:ty { #![frequent(_: $type:ty)] $($events:tt)+ }) => {
        $crate::events!(@set $set, { type Frequent = $type; }, $($events)+);
    };
    (@set $set:ty, { $($frequent:tt)* }, $( $payload:ty => { $( $(#[$meta:meta])* $name:ident = $text:literal $(, $flag:ident)?; )+ } )+) => {
        const _: () = {
            #[repr(u8)]
            #[allow(clippy::upper_case_acronyms, non_camel_case_types)]
            enum Slot { $( $( $name, )+ )+ }

            impl $set {
                $( $(
                    $(#[$meta])*
                    pub const $name: $crate::Event<$set, $payload> =
                        $crate::Event::new($text, Slot::$name as u8)$(.$flag())?;
                )+ )+
            }

            impl $crate::EventSet for $set {
                $($frequent)*
                const NAMES: &'static [&'static str] = &[ $( $( $text, )+ )+ ];
                const PAYLOADS: &'static [&'static str] = &[ $( $( { let _ = $text; stringify!($payload) }, )+ )+ ];
            }

            $(
                impl $crate::Emits<$payload> for $set {
                    const EVENTS: &'static [$crate::Event<Self, $payload>] = &[ $( <$set>::$name, )+ ];
                }
            )+
        };
    };
    (impl $set:ty { $($events:tt)+ }) => {
        $crate::events!(@set $set, { type Frequent = (); }, $($events)+);
    };
}
