//! The Engine.IO server over real sockets, tested with clients that write every byte by hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod backpressure;
mod closing;
mod heartbeat;
mod hooks;
mod polling;
#[cfg(feature = "redis")]
#[path = "../redis/server.rs"]
#[allow(
    clippy::print_stderr,
    dead_code,
    reason = "it prints that a test is skipped; other tests use the rest"
)]
mod redis;
mod refusals;
mod support;
mod upgrades;
mod websockets;
mod workers;
