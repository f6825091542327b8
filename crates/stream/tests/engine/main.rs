//! The engine of streams over descriptors, through a stream over a socket pair.

#[path = "../support/mod.rs"]
mod support;

mod containment;
mod ending;
mod limits;
mod reading;
mod writing;
