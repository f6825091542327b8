//! The bus between workers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod congestion;
mod frames;
mod hubs;
mod local;
mod peers;
mod sequences;
mod sockets;
mod support;
mod threads;
