//! Robustness of servers and connections: misbehaving peers, callbacks that close or panic, stale handles, listeners
//! that change during an emission, jumps of the clock.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod closing_callbacks;
mod emissions;
mod panics;
mod peers;
mod stale_handles;
