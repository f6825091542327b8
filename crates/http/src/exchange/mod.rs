//! One request with its response, whatever carries it; [`Request`] and [`Responder`] are its handles.
//!
//! Routes, middleware and handlers know exchanges only; a [`Transport`] carries them.
//!
//! ```text
//! transport ─→ begin ─→ route ─→ handler ─→ respond ─→ transport
//!                 └─ body: pulled by its reader, or pushed to `data` listeners
//! ```
//!
//! Cost of an exchange whose response is there at once: no allocation, as the thread reuses exchanges that are over. One that takes
//! longer allocates its [`Extras`].

mod body;
mod collect;
mod early_hints;
mod error_page;
mod events;
mod finish;
mod handle;
mod headers;
mod incoming;
mod panics;
mod parts;
mod pool;
mod progress;
mod reader;
mod request;
mod respond;
mod responder;
mod shared_state;
mod state;
mod streaming;
mod time_limit;
mod upgrade;

pub(crate) use error_page::{OnError, error_page, log};
pub(crate) use headers::EditHeaders;
pub(crate) use panics::{contained, panicked};
pub(crate) use parts::{Head, Piece};
pub(crate) use pool::{discard, release, take};
pub(crate) use progress::{BodyProgress, Consumer, ResponseProgress};
pub use reader::BodyReader;
pub use request::Request;
pub(crate) use respond::{body_failed, emit_to_request, overdue, respond, send_plain};
pub use responder::Responder;
pub(crate) use state::{Exchange, Policy, Transport};
