//! Server WebSockets, tested with raw clients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod browsers;
mod clients;
mod closing;
mod crowd;
mod draining;
mod endings;
mod gates;
mod handlers;
mod messages;
mod origins;
mod panics;
mod pings;
mod rates;
mod reentrance;
mod topics;
