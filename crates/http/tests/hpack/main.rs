//! HPACK: the examples of RFC 7541, errors, limits, properties, and a comparison with another implementation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod rfc_examples;
mod support;
