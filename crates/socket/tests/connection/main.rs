//! Connections: who is at their ends, in what order their events come, how they begin and how they are over.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod ending;
mod identity;
mod limits;
mod order;
mod pausing;
mod start;
mod writing;
