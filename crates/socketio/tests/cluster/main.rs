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
#[allow(dead_code, reason = "other tests use the rest")]
mod redis;
mod requests;
mod support;
