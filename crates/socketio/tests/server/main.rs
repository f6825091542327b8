//! A server, with clients over WebSockets in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic and say why"
)]

mod acks;
mod broadcasts;
mod connecting;
mod disconnecting;
mod events;
mod namespaces;
mod recovery;
mod reentrancy;
mod soak;
mod support;
