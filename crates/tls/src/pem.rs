//! Certificates and private keys from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::Error;

/// The longest file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 1024 * 1024;

pub(crate) const CERTIFICATE: &str = "certificate";
pub(crate) const KEY: &str = "private key";

/// The header of a key that is encrypted in the old way (RFC 1421, section 4.6.1.1).
const LEGACY_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";
const ENCRYPTED: &str = "it is encrypted; `openssl pkey -in FILE -out OTHER` decrypts it";

/// A PEM file.
pub(crate) struct PemFile {
    path: Arc<PathBuf>,
    text: Vec<u8>,
}

impl PemFile {
    /// Reads a file for what is expected in it.
    pub(crate) fn read(path: &Path, what: &'static str) -> Result<PemFile, Error> {
        use std::io::Read;

        let path = Arc::new(path.to_path_buf());
        let mut text = Vec::new();
        let read = std::fs::File::open(&*path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text));
        match read {
            Ok(_) if text.len() as u64 > MAX_FILE => Err(Error::Load {
                what,
                path,
                reason: "it is longer than 1 MiB, so it is not a PEM file".into(),
            }),
            Ok(_) => Ok(PemFile { path, text }),
            Err(source) => Err(Error::Read {
                what,
                path,
                source: Arc::new(source),
            }),
        }
    }

    /// The certificates, in the order of the file.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        let chain = chain.map_err(|error| {
            if self.has(LEGACY_ENCRYPTED) {
                self.error(KEY, ENCRYPTED)
            } else {
                self.error(CERTIFICATE, format!("it is no valid PEM: {error}"))
            }
        })?;
        if chain.is_empty() {
            let reason = if self.has("PRIVATE KEY-----") {
                "it has a private key and no certificate: give the file with the certificate to `local_cert`, \
                 and this one to `local_pk`"
            } else {
                "there is no `-----BEGIN CERTIFICATE-----` in it: it has to be a PEM file \
                 (`openssl x509 -inform der -in FILE` converts from DER)"
            };
            return Err(self.error(CERTIFICATE, reason));
        }
        Ok(chain)
    }

    /// The private key; the first one, if there are several.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        if let Ok(key) = PrivateKeyDer::from_pem_slice(&self.text) {
            return Ok(key);
        }
        let reason = if self.has("BEGIN ENCRYPTED PRIVATE KEY") || self.has(LEGACY_ENCRYPTED) {
            ENCRYPTED
        } else if self.has("PRIVATE KEY-----") {
            "it is broken: what is between its BEGIN and END lines is not the Base64 of a key"
        } else {
            "there is no private key in it: append the key to that file, or give the file with the key to `local_pk`"
        };
        Err(self.error(KEY, reason))
    }

    /// An error about this file.
    pub(crate) fn error(&self, what: &'static str, reason: impl Into<Arc<str>>) -> Error {
        Error::Load {
            what,
            path: Arc::clone(&self.path),
            reason: reason.into(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn has(&self, text: &str) -> bool {
        self.text
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}
