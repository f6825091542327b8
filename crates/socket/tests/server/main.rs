//! Servers: where they listen, how they accept, and how they close and shut down.

#[path = "../support/mod.rs"]
mod support;

mod accepting;
mod closing;
mod listening;
mod shutdown;
