#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod callback;
mod emitter;
mod event;
mod event_emitter;
mod excerpt;
mod future;
mod listeners;

/// Common imports: `use uptick_emitter::prelude::*`.
pub mod prelude {
    pub use crate::{Emitter, EventEmitter, ListenerId, events};
}

pub use emitter::{Emitter, emit};
pub use event::{Emits, Event, EventKey};
pub use event_emitter::EventEmitter;
pub use future::{Events, Next};
pub use listeners::{ListenerId, Listeners, NESTED_LIMIT};

// Used by the other crates of the workspace: public, but hidden from the documentation and not covered by semantic
// versioning.
#[doc(hidden)]
pub use emitter::{Frequent, emit_frequent};
#[doc(hidden)]
pub use event::{EventName, EventSet};
#[doc(hidden)]
pub use excerpt::Excerpt;
