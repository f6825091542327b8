//! The bus over a real Redis server. Each machine is a thread with a loop of its own.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic and say why"
)]

#[path = "../../../redis/tests/support/mod.rs"]
mod server;

mod failures;
mod machine;
mod messages;
mod workers;
