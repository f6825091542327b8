//! Server-sent events.

mod connector;
mod handle;
mod message;
mod parser;
mod session;
mod settings;

pub use handle::{EventSource, EventSourceRetry, ReadyState};
pub use message::MessageEvent;
pub use parser::{EventLimits, EventParser, EventParserError};

#[cfg(test)]
mod tests;
