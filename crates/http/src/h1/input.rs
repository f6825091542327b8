//! Buffer of received bytes that have not been decoded yet.

use bytes::{Buf, Bytes, BytesMut};

/// Received bytes: either the read buffer itself, or a copy of an incomplete part.
///
/// An empty buffer holds no memory.
#[derive(Clone, Debug)]
pub(super) enum InputBuffer {
    Read(Bytes),
    Kept(BytesMut),
}

impl Default for InputBuffer {
    fn default() -> InputBuffer {
        InputBuffer::Read(Bytes::new())
    }
}

impl InputBuffer {
    pub(super) fn push(&mut self, bytes: Bytes) {
        match self {
            InputBuffer::Read(read) if read.is_empty() => *read = bytes,
            InputBuffer::Read(read) => {
                let mut kept = BytesMut::with_capacity(read.len() + bytes.len());
                kept.extend_from_slice(read);
                kept.extend_from_slice(&bytes);
                *self = InputBuffer::Kept(kept);
            }
            InputBuffer::Kept(kept) => kept.extend_from_slice(&bytes),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            InputBuffer::Read(read) => read,
            InputBuffer::Kept(kept) => kept,
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first bytes, up to `count`.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        if let InputBuffer::Kept(kept) = self {
            *self = InputBuffer::Read(std::mem::take(kept).freeze());
        }
        match self {
            InputBuffer::Read(read) if count < read.len() => read.split_to(count),
            InputBuffer::Read(read) => std::mem::take(read),
            InputBuffer::Kept(_) => Bytes::new(),
        }
    }

    /// Drops the first bytes, up to `count`.
    pub(super) fn skip(&mut self, count: usize) {
        if count >= self.len() {
            *self = InputBuffer::default();
            return;
        }
        match self {
            InputBuffer::Read(read) => read.advance(count),
            InputBuffer::Kept(kept) => kept.advance(count),
        }
    }

    /// Copies the remaining bytes, so that the read buffer can be reused.
    pub(super) fn keep(&mut self) {
        if let InputBuffer::Read(read) = self
            && !read.is_empty()
        {
            *self = InputBuffer::Kept(BytesMut::from(&read[..]));
        }
    }
}
