//! Types of data that can be written to a stream.

use bytes::{Bytes, BytesMut};

/// Bytes that can be written to a stream: text, slices, vectors, [`Bytes`].
///
/// Short chunks are copied into the write queue; long owned chunks are queued without a copy.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a stream",
    label = "not bytes",
    note = "write text or bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, `Bytes`; format other values, as in `write(format!(\"{{value}}\\n\"))`"
)]
pub trait Chunk {
    /// Returns the bytes.
    fn as_slice(&self) -> &[u8];

    /// Converts the bytes into a reference-counted buffer; borrowed bytes are copied.
    fn into_bytes(self) -> Bytes;
}

impl Chunk for Bytes {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self
    }
}

impl Chunk for BytesMut {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self.freeze()
    }
}

impl Chunk for Vec<u8> {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from(self)
    }
}

impl Chunk for String {
    fn as_slice(&self) -> &[u8] {
        self.as_bytes()
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from(self)
    }
}

impl<const N: usize> Chunk for [u8; N] {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self)
    }
}

/// Borrowed bytes are copied.
impl<T: AsRef<[u8]> + ?Sized> Chunk for &T {
    fn as_slice(&self) -> &[u8] {
        (*self).as_ref()
    }

    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_ref())
    }
}
