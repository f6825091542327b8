//! The reverse proxy between raw servers and raw clients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod balancing;
mod bodies;
mod failures;
mod messages;
mod secure;
mod support;
mod tunnels;
