#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod callback;
mod emitter;
mod event;
mod event_emitter;
mod excerpt;
mod future;
mod listeners;

pub use emitter::{Emitter, Frequent, emit, emit_frequent};
pub use event::{Emits, Event, EventKey, EventName, EventSet};
pub use event_emitter::EventEmitter;
pub use excerpt::Excerpt;
pub use future::{Events, Next};
pub use listeners::{ListenerId, Listeners, NESTED_LIMIT};
