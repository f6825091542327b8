//! What came and was not decoded yet.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes in the buffer that they were read into, or copied from there because what they begin is not whole.
///
/// An empty one keeps no memory.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Read(Bytes),
    Kept(BytesMut),
}

impl Default for Input {
    fn default() -> Input {
        Input::Read(Bytes::new())
    }
}

impl Input {
    pub(super) fn push(&mut self, bytes: Bytes) {
        match self {
            Input::Read(read) if read.is_empty() => *read = bytes,
            Input::Read(read) => {
                let mut kept = BytesMut::with_capacity(read.len() + bytes.len());
                kept.extend_from_slice(read);
                kept.extend_from_slice(&bytes);
                *self = Input::Kept(kept);
            }
            Input::Kept(kept) => kept.extend_from_slice(&bytes),
        }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Input::Read(read) => read,
            Input::Kept(kept) => kept,
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

    /// Takes the first bytes out, at most as many as there are.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        if let Input::Kept(kept) = self {
            *self = Input::Read(std::mem::take(kept).freeze());
        }
        match self {
            Input::Read(read) if count < read.len() => read.split_to(count),
            Input::Read(read) => std::mem::take(read),
            Input::Kept(_) => Bytes::new(),
        }
    }

    /// Drops the first bytes, at most as many as there are.
    pub(super) fn skip(&mut self, count: usize) {
        if count >= self.len() {
            *self = Input::default();
            return;
        }
        match self {
            Input::Read(read) => read.advance(count),
            Input::Kept(kept) => kept.advance(count),
        }
    }

    /// Copies what is left out of the buffer that it was read into, so that others can have that.
    pub(super) fn keep(&mut self) {
        if let Input::Read(read) = self
            && !read.is_empty()
        {
            *self = Input::Kept(BytesMut::from(&read[..]));
        }
    }
}
