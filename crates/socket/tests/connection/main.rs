//! Connections: addresses, order of events, start and end.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod ending;
mod identity;
mod limits;
mod order;
mod pausing;
mod start;
mod write_errors;
mod writing;
