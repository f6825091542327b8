//! Server-sent events.

mod message;
mod parser;

pub use message::MessageEvent;
pub use parser::{EventLimits, EventParser, EventParserError};
