//! Servers in several workers that act as one.
#![cfg(feature = "workers")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

mod broadcasts;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod client;
#[cfg(feature = "redis")]
mod machines;
#[cfg(feature = "redis")]
#[path = "../redis/server.rs"]
#[allow(
    clippy::print_stderr,
    dead_code,
    reason = "it prints that a test is skipped; other tests use the rest"
)]
mod redis;
mod requests;
mod support;
