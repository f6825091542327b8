//! TLS servers with certificates in real files, and real clients.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic and print the reason"
)]

mod alpn;
mod bulk;
mod closing;
mod composition;
mod connecting;
mod context;
mod flood;
mod handshakes;
mod openssl;
mod passphrase;
mod peers;
mod refusing;
mod reload;
mod resumption;
#[cfg(feature = "self-signed")]
mod self_signed;
mod serving;
mod sni;
mod streaming;
mod support;
