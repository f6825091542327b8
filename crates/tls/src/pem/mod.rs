//! Reading of certificates and private keys in PEM (RFC 7468).

mod encrypted;
#[cfg(feature = "legacy-keys")]
mod legacy;
mod source;

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::files::FileStates;

pub(crate) use source::{Passphrase, PemSource};

/// The maximum length of a file in bytes.
const MAX_FILE: u64 = 1024 * 1024;

pub(crate) const CERTIFICATE: &str = "certificate";
pub(crate) const KEY: &str = "private key";
pub(crate) const ROOTS: &str = "CA certificates";

const WRONG_PASSPHRASE: &str = "the passphrase does not decrypt it: check `passphrase`";

const PKCS12: &str = "it is a PKCS#12 file, but must be PEM: `openssl pkcs12 -in FILE -nodes -out OTHER` converts it, \
                      including the key";

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// The contents of a PEM file.
pub(crate) struct PemFile {
    path: Arc<PathBuf>,
    text: Zeroizing<Vec<u8>>,
}

/// A section of a PEM file, from its BEGIN line to its END line.
struct PemSection<'a> {
    label: &'a str,
    text: &'a [u8],
}

impl PemFile {
    /// Reads a source, and adds its file to `files`. `what` is the expected content, for errors.
    pub(crate) fn read(
        source: &PemSource,
        what: &'static str,
        files: &mut FileStates,
    ) -> Result<PemFile, Error> {
        let path = match source {
            PemSource::File(path) => path,
            PemSource::Text { setter, text } => {
                return Ok(PemFile {
                    path: Arc::new(format!("`{setter}`").into()),
                    text: Zeroizing::new(text.to_vec()),
                });
            }
        };
        let path = Arc::new(path.clone());
        let refused = |reason: &str| Error::Load {
            what,
            path: Arc::clone(&path),
            reason: reason.into(),
        };
        let failed = |source: io::Error| Error::Read {
            what,
            path: Arc::clone(&path),
            source: Arc::new(source),
        };
        let file = open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        files.add(&path, &metadata);
        if let Some(other) = special_file_kind(metadata.file_type()) {
            let reason = format!("it is a {other}, but must be a regular file");
            return Err(refused(&reason));
        }
        let text = read(file, metadata.len()).map_err(failed)?;
        if text.len() as u64 > MAX_FILE {
            return Err(refused("it is longer than 1 MiB, so it is not a PEM file"));
        }
        Ok(PemFile { path, text })
    }

    /// Returns the certificates in the order of the file, at least one.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let chain = self.certificates(CERTIFICATE)?;
        if chain.is_empty() {
            let reason = match self.other_contents() {
                Some(reason) => reason,
                None if self.private_key().is_some() => {
                    "it contains a private key but no certificate: set `local_cert` to the file with the certificate, \
                     and `local_pk` to this one"
                }
                None => {
                    "it contains no `-----BEGIN CERTIFICATE-----`: it must be a PEM file \
                     (`openssl x509 -inform der -in FILE` converts from DER)"
                }
            };
            return Err(self.error(CERTIFICATE, reason));
        }
        Ok(chain)
    }

    /// Returns the error text if the file contains something that is often mistaken for a certificate.
    pub(crate) fn other_contents(&self) -> Option<&'static str> {
        if is_pkcs12(&self.text) {
            return Some(PKCS12);
        }
        self.sections().find_map(|section| match section.label {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(
                "it contains a certificate signing request (CSR), not a certificate: use the certificate that the CA issued for it",
            ),
            "TRUSTED CERTIFICATE" => Some(
                "it contains a `TRUSTED CERTIFICATE`, a format of OpenSSL only: `openssl x509 -in FILE -out OTHER` converts it",
            ),
            "PKCS7" | "CMS" => Some(
                "it contains PKCS#7, not certificates: `openssl pkcs7 -print_certs -in FILE -out OTHER` extracts the certificates",
            ),
            _ => None,
        })
    }

    /// Returns the certificates in the order of the file, possibly none.
    pub(crate) fn certificates(
        &self,
        what: &'static str,
    ) -> Result<Vec<CertificateDer<'static>>, Error> {
        self.sections()
            .filter(|section| section.label == "CERTIFICATE")
            .map(|section| match pem::parse(section.text) {
                Ok(pem) => Ok(CertificateDer::from(pem.into_contents())),
                Err(_) => Err(self.error(
                    what,
                    "it is not valid PEM: the text between `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----` is not \
                     Base64",
                )),
            })
            .collect()
    }

    /// Returns the first private key.
    pub(crate) fn key(
        &self,
        passphrase: Option<&Passphrase>,
    ) -> Result<PrivateKeyDer<'static>, Error> {
        let section = self.private_key().ok_or_else(|| {
            let reason = if is_pkcs12(&self.text) {
                PKCS12
            } else if self.sections().next().is_some() {
                "it contains no private key: append the key to the file, or set `local_pk` to the file with the key"
            } else {
                "it contains no `-----BEGIN PRIVATE KEY-----`: it must be a PEM file \
                 (`openssl pkey -inform der -in FILE` converts from DER)"
            };
            self.error(KEY, reason)
        })?;
        let key = section.key(passphrase);
        key.map_err(|reason| self.error(KEY, reason))
    }

    /// Creates an error about this file.
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

    fn private_key(&self) -> Option<PemSection<'_>> {
        self.sections()
            .find(|section| section.label.ends_with("PRIVATE KEY"))
    }

    fn sections(&self) -> impl Iterator<Item = PemSection<'_>> {
        let mut rest: &[u8] = &self.text;
        std::iter::from_fn(move || {
            let section;
            (section, rest) = next_section(rest)?;
            Some(section)
        })
    }
}

impl PemSection<'_> {
    /// Returns the private key, or the cause of the failure.
    fn key(&self, passphrase: Option<&Passphrase>) -> Result<PrivateKeyDer<'static>, String> {
        let pem = pem::parse(self.text).map_err(
            |_| "it is malformed: the text between its BEGIN and END lines is not valid Base64",
        )?;
        let has_legacy_encryption = pem
            .headers()
            .get("Proc-Type")
            .is_some_and(|value| value.contains("ENCRYPTED"));
        if self.label == "ENCRYPTED PRIVATE KEY" {
            let der = encrypted::decrypt(pem.contents(), required(passphrase)?)?;
            return Ok(PrivatePkcs8KeyDer::from(der).into());
        }
        let der = match has_legacy_encryption {
            #[cfg(feature = "legacy-keys")]
            true => legacy::decrypt(&pem, required(passphrase)?)?,
            #[cfg(not(feature = "legacy-keys"))]
            true => {
                return Err(without_legacy_keys(
                    "it is encrypted as `Proc-Type: 4,ENCRYPTED`",
                ));
            }
            false => pem.into_contents(),
        };
        Ok(match self.label {
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
            other => return Err(format!("a key of the type `{other}` cannot be used in TLS")),
        })
    }
}

/// Returns the error text for a key that only the feature `legacy-keys` can decrypt.
#[cfg(not(feature = "legacy-keys"))]
fn without_legacy_keys(what: &str) -> String {
    format!(
        "{what}, which requires the feature `legacy-keys` of uptick-tls; \
         `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it"
    )
}

/// Returns `true` for the DER of a PKCS#12 file: a sequence that begins with version 3 (RFC 7292, section 4).
fn is_pkcs12(text: &[u8]) -> bool {
    let Some((0x30, &[length, ref rest @ ..])) = text.split_first().map(|(tag, rest)| (*tag, rest))
    else {
        return false;
    };
    // The first byte of a long length is the number of bytes that follow.
    let more = if length > 0x80 {
        usize::from(length - 0x80)
    } else {
        0
    };
    rest.get(more..)
        .is_some_and(|rest| rest.starts_with(&[2, 1, 3]))
}

fn required(passphrase: Option<&Passphrase>) -> Result<&Passphrase, &'static str> {
    passphrase.ok_or(
        "it is encrypted: set `passphrase`, or decrypt it with `openssl pkey -in FILE -out OTHER`",
    )
}

/// Returns the next section and the text after it. A section without an END line ends where the next one begins.
fn next_section(text: &[u8]) -> Option<(PemSection<'_>, &[u8])> {
    let text = text.get(find(text, BEGIN)?..)?;
    let after_begin = text.get(BEGIN.len()..)?;
    let next = find(after_begin, BEGIN).map_or(text.len(), |at| at + BEGIN.len());
    let (mut section, mut rest) = text.split_at_checked(next)?;
    let label = find(after_begin, DASHES)
        .and_then(|length| str::from_utf8(after_begin.get(..length)?).ok())
        .unwrap_or_default();
    let end = format!("-----END {label}-----");
    if let Some(at) = find(section, end.as_bytes()) {
        (section, rest) = text.split_at_checked(at + end.len())?;
    }
    let text = section;
    Some((PemSection { label, text }, rest))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Opens a file. Opening a pipe does not wait for a writer.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Returns the kind of a special file, which may be endless; `None` for a regular file.
fn special_file_kind(file_type: FileType) -> Option<&'static str> {
    if file_type.is_file() {
        None
    } else if file_type.is_dir() {
        Some("directory")
    } else if file_type.is_fifo() {
        Some("pipe (FIFO)")
    } else {
        Some("device")
    }
}

fn read(file: File, length: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // The buffer has its final capacity: a growing vector would leave copies of the key in memory.
    let room = length.min(MAX_FILE) as usize + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        let mut rest = text.as_bytes();
        let mut labels = Vec::new();
        while let Some((section, after)) = next_section(rest) {
            labels.push(format!("{} {}", section.label, section.text.len()));
            rest = after;
        }
        labels
    }

    #[test]
    fn sections_are_found_in_any_text() {
        let text = "Bag Attributes\n-----BEGIN A-----\nAA==\n-----END A-----\r\nfriendlyName: \u{fc}\n-----BEGIN B C-----\n-----END B C-----";
        assert_eq!(labels(text), ["A 38", "B C 37"]);
        assert!(labels("").is_empty());
        assert!(labels("-----BEGIN").is_empty());
    }

    #[test]
    fn an_unterminated_section_does_not_hide_the_next_one() {
        let text = "-----BEGIN A-----\nAA==\n-----BEGIN B-----\n-----END B-----\n-----BEGIN C";
        let labels = labels(text);
        assert_eq!(labels, ["A 23", "B 33", " 12"]);
    }
}
