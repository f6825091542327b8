//! Distribution of accepted connections among the workers.
//!
//! All workers of a generation accept from the same socket; the kernel wakes one waiting worker. A worker that accepts a
//! connection compares itself with two other workers, chosen at random. If it has more connections than the less loaded of the two,
//! it *offers* the new connection to that worker, which claims it. If the offer is not claimed within 10 ms, because that worker
//! hangs or was stopped, the first worker takes the connection back and serves it.
//!
//! ```text
//! processes, threads ─→ sharing ─→ claims
//!     └─→ packets
//! ```

mod claims;
mod packets;
mod processes;
mod sharing;
mod threads;

pub(crate) use processes::ProcessPeers;
pub(crate) use sharing::Sharing;
pub(crate) use threads::{ThreadPeers, ThreadRegistry};
