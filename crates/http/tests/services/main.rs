//! The parts that HTTP services have in common.

mod authentication;
mod errors;
mod etags;
mod extract;
mod headers;
mod health;
mod redirects;
mod request_ids;
mod state;
mod timeouts;
