//! Where PEM comes from, and what decrypts it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A file, or a text that the program has.
#[derive(Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Text {
        /// The setter that it was given to, which an error names.
        setter: &'static str,
        text: Arc<Zeroizing<Vec<u8>>>,
    },
}

impl Source {
    pub(crate) fn text(setter: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Source::Text {
            setter,
            text: Arc::new(Zeroizing::new(text.into())),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.fmt(f),
            Source::Text { .. } => f.write_str("(a text)"),
        }
    }
}

/// What decrypts a private key. Erased from memory when the last clone is dropped.
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
