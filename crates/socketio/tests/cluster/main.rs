//! Servers of several workers as one.
#![cfg(feature = "workers")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic and say why"
)]

mod broadcasts;
#[path = "../server/support.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod client;
mod requests;
mod support;
