//! Property tests of the server and its parts. The fuzz targets check the same invariants for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

#[path = "../invariants/forwarded.rs"]
mod forwarded_invariants;
#[path = "../invariants/multipart.rs"]
mod multipart_invariants;
#[path = "../invariants/router.rs"]
mod router_invariants;
#[path = "../invariants/server.rs"]
mod server_invariants;

mod parts;
mod server;
