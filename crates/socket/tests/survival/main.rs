//! What servers and connections must survive: rude peers, callbacks that close or panic, stale handles, listeners
//! that change in the middle of an emission, a clock that jumps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod closing_callbacks;
mod emissions;
mod panics;
mod peers;
mod stale_handles;
