//! The engine of streams over descriptors, through a stream over a socket pair.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod containment;
mod ending;
mod files;
mod limits;
mod reading;
mod sessions;
mod writing;
