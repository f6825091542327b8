//! The engine of streams over descriptors, tested with streams over socket pairs.
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
