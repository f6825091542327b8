//! An HTTP/1 connection: its requests one after the other, each answered before the next is looked at.
//!
//! Cost of a request that came whole and is answered at once: the head is copied out of the read buffer into the exchange, and the
//! response is written straight into the send buffer. No table is looked up, no allocation, no clock; one write for all that came
//! in one read.
//!
//! ```text
//! accept ─→ head ─→ exchange ─→ response ─→ rest of the body is discarded ─→ next head
//!                                            (64 KiB at most, else close)
//! ```
//!
//! Each file knows those before it: `state`, `deadlines`, `departure`, `output`, `input`, `requests`, `expiry`, `transport`, `session`.

mod date;
mod deadlines;
mod departure;
mod expiry;
mod flags;
mod input;
mod output;
mod owned_headers;
mod requests;
mod session;
mod shutdown;
mod state;
mod transport;

pub(crate) use session::serve;
pub(crate) use shutdown::{cut, drain};
