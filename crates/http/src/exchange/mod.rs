//! One request with its response, whatever carries it.
//!
//! Routes, middleware, handlers, bodies and responses know exchanges only; a [`Transport`] carries them.
//!
//! ```text
//! transport ─→ begin ─→ route ─→ handler ─→ respond ─→ transport
//!                 └─ body: pulled by its reader, or pushed to `data` listeners
//! ```
//!
//! Cost of an exchange whose response is there at once: no allocation, as the thread reuses exchanges that are over. One that takes
//! longer allocates its [`Extras`].

mod body;
mod events;
mod handle;
mod policy;
mod pool;
mod progress;
mod respond;
mod state;
mod streaming;
mod transport;
mod upgrade;

pub(crate) use events::{Incoming, Outgoing};
pub(crate) use handle::Handle;
pub(crate) use policy::Policy;
pub(crate) use pool::{discard, release, take};
pub(crate) use progress::{BodyProgress, Consumer, ResponseProgress};
pub(crate) use respond::{body_failed, emit_to_request, respond, start};
pub(crate) use state::Exchange;
pub(crate) use streaming::{end, poll_writable, write};
pub(crate) use transport::{Head, Piece, Transport};
