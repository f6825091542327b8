//! Accepted connections, shared out between the workers.
//!
//! All workers of a generation accept from the same socket; the kernel wakes one that waits. A worker that has more connections
//! than one of two others, chosen at random, *offers* the new one to the lesser of them. The other claims it; if it does not within
//! [`CLAIM_TIME`], because it hangs or was stopped, the first one takes the connection back and serves it.
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
