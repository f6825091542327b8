//! Tests of the middleware for HTTP services.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod access_log;
mod authentication;
mod errors;
mod etags;
mod extract;
mod headers;
mod health;
mod redirects;
mod request_ids;
mod sessions;
mod state;
mod timeouts;
