//! The cryptography provider.

use std::sync::Arc;

use rustls::Tls13CipherSuite;
use rustls::crypto::{CryptoProvider, SecureRandom};

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as library;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use rustls::crypto::ring as library;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!(
    "uptick-tls requires a cryptography library: enable its feature `aws-lc-rs` or `ring`"
);

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(library::default_provider())
}

/// Returns the suite whose HKDF, hash and AEAD protect session tickets: SHA-256 and ChaCha20-Poly1305, with keys of 256 bits.
///
/// Unlike AES it has no key schedule, which would be computed for each ticket, since each has its own key.
pub(crate) fn ticket_suite() -> Option<&'static Tls13CipherSuite> {
    library::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256.tls13()
}

pub(crate) fn secure_random() -> &'static dyn SecureRandom {
    library::default_provider().secure_random
}
