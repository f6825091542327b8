//! Server WebSockets, tested with raw clients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod browsers;
mod client_limits;
mod closing;
mod draining;
mod gates;
mod handlers;
mod messages;
mod origins;
mod panics;
mod pings;
mod rate_limits;
mod reentrancy;
mod slow_subscribers;
mod teardown;
mod topics;
