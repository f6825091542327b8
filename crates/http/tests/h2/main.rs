//! Tests of the HTTP/2 connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod attacks;
mod client;
mod echo;
mod flow_control;
mod header_blocks;
mod loopback;
mod peer;
mod properties;
mod requests;
mod responses;
mod states;
mod support;
mod violations;
