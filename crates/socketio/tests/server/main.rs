//! A Socket.IO server with clients over in-memory WebSockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
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
