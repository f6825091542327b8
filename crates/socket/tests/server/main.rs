//! Servers: listening, accepting, closing and shutting down.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod closing;
mod listening;
mod shared;
mod shutdown;
