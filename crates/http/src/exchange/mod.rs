//! A request with its response, independent of the transport; [`Request`] and [`Responder`] are its handles.
//!
//! Routes, middleware and handlers use exchanges only; an [`ExchangeTransport`] connects them with a protocol.
//!
//! ```text
//! transport ─→ begin ─→ route ─→ handler ─→ respond ─→ transport
//!                 └─ body: pulled by its reader, or pushed to `data` listeners
//! ```
//!
//! Cost of an exchange with an immediate response: no allocation, as the thread reuses finished exchanges. A longer exchange allocates
//! its [`ExtendedState`](state::ExtendedState).

mod body;
mod collect;
mod early_hints;
mod error_page;
mod events;
mod finish;
mod handle;
mod headers;
mod panics;
mod parts;
mod pool;
mod progress;
mod reader;
mod request;
mod request_emitter;
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
pub(crate) use parts::{BodyPiece, Head};
pub(crate) use pool::{discard, release, take};
pub(crate) use progress::{BodyProgress, Consumer, ResponseProgress};
pub use reader::BodyReader;
pub use request::Request;
pub(crate) use respond::{body_failed, emit_to_request, respond, response_timed_out, send_plain};
pub use responder::Responder;
pub(crate) use state::{Exchange, ExchangeTransport, SitePolicy};
