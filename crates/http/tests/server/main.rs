//! The server over TCP, with clients that write and read bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod closing;
mod disconnects;
mod draining;
mod exchanges;
mod faults;
mod guards;
mod listening;
mod logging;
mod panics;
mod pipelining;
mod ports;
mod proxies;
mod responses;
mod sequential;
mod settings;
mod shutdown;
mod stats;
mod timeouts;
