//! HPACK: the examples of RFC 7541, errors, limits, properties, and a comparison with another implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod errors;
#[path = "../invariants/hpack.rs"]
mod invariants;
mod limits;
mod reference;
mod rfc_examples;
mod round_trips;
mod support;
mod tables;
