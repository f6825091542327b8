//! Servers: where they listen, how they accept, and how they close and shut down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod closing;
mod listening;
mod shared;
mod shutdown;
