//! Server-sent events.

mod builder;
mod connector;
mod handle;
mod message;
mod parser;
mod session;
mod settings;

pub use builder::EventSourceBuilder;
pub use handle::{EventSource, EventSourceRetry, ReadyState};
pub use message::MessageEvent;
pub use parser::{EventLimits, EventParser, EventParserError};

#[cfg(test)]
mod tests;
