//! Servers that are connected by the adapters over Redis: with an in-memory broker, with a Redis server, and with Node.js servers.
#![cfg(feature = "redis")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic"
)]

mod broker;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod client;
mod cluster;
mod emitter;
mod hostile;
mod real;
mod requests;
mod server;
