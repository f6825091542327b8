//! An HTTP/1 connection: its requests are handled one after the other.
//!
//! Cost of a request that is received complete and answered immediately: the head is copied from the read buffer into the exchange, and
//! the response is written directly into the send buffer. There is no table lookup, no allocation and no clock call; all requests of one
//! read share one write.
//!
//! ```text
//! accept ─→ head ─→ exchange ─→ response ─→ rest of the body is discarded ─→ next head
//!                                            (64 KiB at most, otherwise close)
//! ```
//!
//! Each file depends only on those before it: `state`, `deadlines`, `probe`, `output`, `input`, `requests`, `expiry`, `transport`,
//! `session`.

mod deadlines;
mod expiry;
mod flags;
mod input;
mod output;
mod preface;
mod probe;
mod requests;
mod session;
mod shutdown;
mod state;
mod transport;

pub(crate) use session::serve;
pub(crate) use shutdown::{abort_all, drain};
