//! Sources of PEM, and the passphrase of private keys.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The source of PEM: a file, or a text.
#[derive(Clone)]
pub(crate) enum PemSource {
    File(PathBuf),
    Text {
        /// The name of the setter that set the text, for errors.
        setter: &'static str,
        text: Arc<Zeroizing<Vec<u8>>>,
    },
}

impl PemSource {
    pub(crate) fn text(setter: &'static str, text: impl Into<Vec<u8>>) -> Self {
        PemSource::Text {
            setter,
            text: Arc::new(Zeroizing::new(text.into())),
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PemSource::File(path) => path.fmt(f),
            PemSource::Text { .. } => f.write_str("(a text)"),
        }
    }
}

/// The passphrase of a private key. It is erased from memory when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Passphrase(Arc<Zeroizing<String>>);

impl Passphrase {
    pub(crate) fn new(passphrase: impl Into<String>) -> Self {
        Passphrase(Arc::new(Zeroizing::new(passphrase.into())))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
