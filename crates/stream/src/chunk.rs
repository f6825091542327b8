//! What may be written to a stream.

use bytes::{Bytes, BytesMut};

/// Bytes that may be written to a stream: text, slices, vectors, [`Bytes`].
///
/// Short ones are copied into the write queue; long ones that are owned go into it as they are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be written to a stream",
    label = "not bytes",
    note = "write text or bytes: `&str`, `String`, `&[u8]`, `Vec<u8>`, `Bytes`; format other values, as in `write(format!(\"{{value}}\\n\"))`"
)]
pub trait Chunk {
    /// The bytes.
    fn as_slice(&self) -> &[u8];

    /// The bytes as a reference-counted buffer; copies what is borrowed.
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

/// What is borrowed is copied.
impl<T: AsRef<[u8]> + ?Sized> Chunk for &T {
    fn as_slice(&self) -> &[u8] {
        (*self).as_ref()
    }

    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_ref())
    }
}
