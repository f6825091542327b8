//! Certificates and private keys from PEM (RFC 7468).

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
use crate::files::Files;

pub(crate) use source::{Passphrase, Source};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

pub(crate) const CERTIFICATE: &str = "certificate";
pub(crate) const KEY: &str = "private key";
pub(crate) const ROOTS: &str = "CA certificates";

const WRONG: &str = "the passphrase does not decrypt it: check `passphrase`";

const PKCS12: &str = "it is a PKCS#12 file, and has to be PEM: `openssl pkcs12 -in FILE -nodes -out OTHER` converts it, and \
                      OTHER has the key as well";

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// The contents of a PEM file.
pub(crate) struct PemFile {
    path: Arc<PathBuf>,
    text: Zeroizing<Vec<u8>>,
}

/// One piece of a PEM file, from its BEGIN line to its END line.
struct Section<'a> {
    label: &'a str,
    text: &'a [u8],
}

impl PemFile {
    /// Reads a source for what is expected in it, and notes which file that was.
    pub(crate) fn read(
        source: &Source,
        what: &'static str,
        files: &mut Files,
    ) -> Result<PemFile, Error> {
        let path = match source {
            Source::File(path) => path,
            Source::Text { setter, text } => {
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
        if let Some(other) = other_than_file(metadata.file_type()) {
            let reason = format!("it is a {other}, and has to be a regular file");
            return Err(refused(&reason));
        }
        let text = read(file, metadata.len()).map_err(failed)?;
        if text.len() as u64 > MAX_FILE {
            return Err(refused("it is longer than 1 MiB, so it is not a PEM file"));
        }
        Ok(PemFile { path, text })
    }

    /// The certificates, in the order of the file; at least one.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let chain = self.certificates(CERTIFICATE)?;
        if chain.is_empty() {
            let reason = match self.other_contents() {
                Some(reason) => reason,
                None if self.private_key().is_some() => {
                    "it has a private key and no certificate: give the file with the certificate to `local_cert`, \
                     and this one to `local_pk`"
                }
                None => {
                    "there is no `-----BEGIN CERTIFICATE-----` in it: it has to be a PEM file \
                     (`openssl x509 -inform der -in FILE` converts from DER)"
                }
            };
            return Err(self.error(CERTIFICATE, reason));
        }
        Ok(chain)
    }

    /// What is in the file in place of certificates, if that is something that is taken for one, and what to do.
    pub(crate) fn other_contents(&self) -> Option<&'static str> {
        if is_pkcs12(&self.text) {
            return Some(PKCS12);
        }
        self.sections().find_map(|section| match section.label {
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(
                "it has a request for a certificate (CSR) and no certificate: give the one that the issuer has answered \
                 it with",
            ),
            "TRUSTED CERTIFICATE" => Some(
                "it has a `TRUSTED CERTIFICATE`, which is OpenSSL's own: `openssl x509 -in FILE -out OTHER` makes a \
                 certificate of it",
            ),
            "PKCS7" | "CMS" => Some(
                "it has PKCS#7 and no certificate: `openssl pkcs7 -print_certs -in FILE -out OTHER` takes the \
                 certificates out",
            ),
            _ => None,
        })
    }

    /// The certificates, in the order of the file; there may be none.
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
                    "it is no valid PEM: what comes after a `-----BEGIN CERTIFICATE-----` is not Base64 up to an \
                     `-----END CERTIFICATE-----`",
                )),
            })
            .collect()
    }

    /// The private key; the first one, if there are several.
    pub(crate) fn key(
        &self,
        passphrase: Option<&Passphrase>,
    ) -> Result<PrivateKeyDer<'static>, Error> {
        let section = self.private_key().ok_or_else(|| {
            let reason = if is_pkcs12(&self.text) {
                PKCS12
            } else if self.sections().next().is_some() {
                "there is no private key in it: append the key to that file, or give the file with the key to `local_pk`"
            } else {
                "there is no `-----BEGIN PRIVATE KEY-----` in it: it has to be a PEM file \
                 (`openssl pkey -inform der -in FILE` converts from DER)"
            };
            self.error(KEY, reason)
        })?;
        let key = section.key(passphrase);
        key.map_err(|reason| self.error(KEY, reason))
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

    fn private_key(&self) -> Option<Section<'_>> {
        self.sections()
            .find(|section| section.label.ends_with("PRIVATE KEY"))
    }

    fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        let mut rest: &[u8] = &self.text;
        std::iter::from_fn(move || {
            let section;
            (section, rest) = next_section(rest)?;
            Some(section)
        })
    }
}

impl Section<'_> {
    /// The private key; the error is the reason why there is none.
    fn key(&self, passphrase: Option<&Passphrase>) -> Result<PrivateKeyDer<'static>, String> {
        let pem = pem::parse(self.text).map_err(
            |_| "it is broken: what is between its BEGIN and END lines is not the Base64 of a key",
        )?;
        let is_encrypted_the_old_way = pem
            .headers()
            .get("Proc-Type")
            .is_some_and(|value| value.contains("ENCRYPTED"));
        if self.label == "ENCRYPTED PRIVATE KEY" {
            let der = encrypted::decrypt(pem.contents(), needed(passphrase)?)?;
            return Ok(PrivatePkcs8KeyDer::from(der).into());
        }
        let der = match is_encrypted_the_old_way {
            #[cfg(feature = "legacy-keys")]
            true => legacy::decrypt(&pem, needed(passphrase)?)?,
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
            other => return Err(format!("`{other}` is no kind of key that is used in TLS")),
        })
    }
}

/// Returns the reason why a key is refused that only the feature `legacy-keys` decrypts.
#[cfg(not(feature = "legacy-keys"))]
fn without_legacy_keys(what: &str) -> String {
    format!(
        "{what}, which needs the feature `legacy-keys` of uptick-tls; \
         `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` encrypts it anew"
    )
}

/// Whether it is the DER of a PKCS#12 file: a sequence that begins with version 3 (RFC 7292, section 4).
fn is_pkcs12(text: &[u8]) -> bool {
    let Some((0x30, &[length, ref rest @ ..])) = text.split_first().map(|(tag, rest)| (*tag, rest))
    else {
        return false;
    };
    // A long length says in its first byte how many follow.
    let more = if length > 0x80 {
        usize::from(length - 0x80)
    } else {
        0
    };
    rest.get(more..)
        .is_some_and(|rest| rest.starts_with(&[2, 1, 3]))
}

fn needed(passphrase: Option<&Passphrase>) -> Result<&Passphrase, &'static str> {
    passphrase.ok_or(
        "it is encrypted: give the passphrase to `passphrase`, or decrypt it with `openssl pkey -in FILE -out OTHER`",
    )
}

/// The next section and what comes after it. One that does not end goes up to where the next one begins.
fn next_section(text: &[u8]) -> Option<(Section<'_>, &[u8])> {
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
    Some((Section { label, text }, rest))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Opens a file, without waiting for who is to write to it, as one does for a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// What something is that is no regular file, and so may never end.
fn other_than_file(file_type: FileType) -> Option<&'static str> {
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
    // Room for everything at once: a vector that grows leaves copies of the key behind.
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
    fn a_section_that_does_not_end_hides_none_behind_it() {
        let text = "-----BEGIN A-----\nAA==\n-----BEGIN B-----\n-----END B-----\n-----BEGIN C";
        let labels = labels(text);
        assert_eq!(labels, ["A 23", "B 33", " 12"]);
    }
}
