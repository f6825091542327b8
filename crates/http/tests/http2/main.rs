//! HTTP/2 connections of the server, with clients that write and read frames.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "only the frames are used")]
#[path = "../h2/support.rs"]
mod frames;

#[path = "../invariants/http2.rs"]
mod invariants;

mod allocator;
mod attacks;
mod bodies;
mod channels;
mod client;
mod cycles;
mod disconnects;
mod flow_control;
mod headers;
mod preface;
mod requests;
mod sequential;
mod shutdown;
mod splits;
mod timeouts;
