//! Cryptographic primitives for session tickets: random bytes, key derivation and authenticated encryption, all by the provider.
//!
//! Cost of a sealed or opened ticket: one hash of three blocks and one pass of ChaCha20-Poly1305.

use std::fmt;

use rustls::crypto::SecureRandom;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, OutboundChunks, OutboundPlainMessage,
};
use rustls::crypto::tls13::OkmBlock;
use rustls::{ContentType, ProtocolVersion, Tls13CipherSuite};
use zeroize::Zeroizing;

use crate::provider::{secure_random, ticket_suite};

/// The length of secrets and keys in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// A secret that is erased from memory when it is dropped. It is boxed so that a move leaves no copy in memory.
pub(super) type Secret = Box<Zeroizing<[u8; KEY_LENGTH]>>;

pub(super) fn secret(bytes: &[u8; KEY_LENGTH]) -> Secret {
    let mut secret = Box::new(Zeroizing::new([0; KEY_LENGTH]));
    secret.copy_from_slice(bytes);
    secret
}

#[derive(Clone, Copy)]
pub(super) struct Crypto {
    suite: &'static Tls13CipherSuite,
    random: &'static dyn SecureRandom,
}

impl Crypto {
    /// Creates the primitives. Returns `None` if the provider does not support the suite.
    pub(super) fn new() -> Option<Self> {
        Some(Crypto {
            suite: ticket_suite()?,
            random: secure_random(),
        })
    }

    /// Fills `buffer` with random bytes. Returns `None` if the system fails to provide them.
    pub(super) fn fill_random(&self, buffer: &mut [u8]) -> Option<()> {
        self.random.fill(buffer).ok()
    }

    /// Derives a secret from another one (RFC 5869, section 2.3).
    pub(super) fn derive(&self, key: &[u8; KEY_LENGTH], info: &[&[u8]]) -> Option<Secret> {
        let key = OkmBlock::new(key);
        let expander = self.suite.hkdf_provider.expander_for_okm(&key);
        let mut derived = Box::new(Zeroizing::new([0; KEY_LENGTH]));
        expander.expand_slice(info, &mut derived[..]).ok()?;
        Some(derived)
    }

    /// Encrypts the concatenation of `plain` with a key that is used only once, and appends the result to `out`.
    pub(super) fn seal(
        &self,
        key: &[u8; KEY_LENGTH],
        plain: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let mut cipher = self
            .suite
            .aead_alg
            .encrypter(AeadKey::from(*key), zero_iv());
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::new(plain),
        };
        let sealed = cipher.encrypt(message, 0).ok()?;
        out.extend_from_slice(sealed.payload.as_ref());
        Some(())
    }

    /// Decrypts `sealed` in place, and returns the length of the plaintext at its beginning.
    pub(super) fn open(&self, key: &[u8; KEY_LENGTH], sealed: &mut [u8]) -> Option<usize> {
        let mut cipher = self
            .suite
            .aead_alg
            .decrypter(AeadKey::from(*key), zero_iv());
        let message = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            sealed,
        );
        Some(cipher.decrypt(message, 0).ok()?.payload.len())
    }

    /// Returns the hash of byte strings, each preceded by its length.
    pub(super) fn hash<'a>(
        &self,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<[u8; KEY_LENGTH]> {
        let mut context = self.suite.common.hash_provider.start();
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.finish().as_ref().try_into().ok()
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.suite.common.suite.fmt(f)
    }
}

/// Returns the nonce of the only message of a key.
fn zero_iv() -> Iv {
    Iv::copy(&[0; 12])
}
