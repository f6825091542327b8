//! The library that does the cryptography.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ProducesTickets;

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as library;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!(
    "uptick-tls needs a library for cryptography: enable its feature `aws-lc-rs` or `ring`"
);

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(library::default_provider())
}

/// What makes session tickets, with a key of its own.
pub(crate) fn ticketer() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    library::Ticketer::new()
}
