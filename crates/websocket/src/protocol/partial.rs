//! A message that has not come whole.

use bytes::BytesMut;

use super::head::Received;
use super::invalid::Invalid;
use super::mask;
use super::utf8::Utf8;

/// The least room that is made for a message, if it needs as much.
const ROOM: usize = 4096;

/// What came of a message, and where in its frames it is.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) is_text: bool,
    pub(super) is_compressed: bool,
    /// What came, unmasked; as it is compressed.
    pub(super) payload: BytesMut,
    pub(super) fragments: usize,
    utf8: Utf8,
    /// The number of bytes of the frame that are yet to come.
    left: usize,
    key: Option<[u8; 4]>,
    /// The number of bytes of the frame that came.
    offset: usize,
    fin: bool,
}

impl Partial {
    pub(super) fn new(is_text: bool, is_compressed: bool) -> Partial {
        Partial {
            is_text,
            is_compressed,
            payload: BytesMut::new(),
            fragments: 0,
            utf8: Utf8::new(),
            left: 0,
            key: None,
            offset: 0,
            fin: false,
        }
    }

    /// A frame begins, whose length was checked. `at_hand` is the number of bytes that came behind its head.
    pub(super) fn begin(&mut self, head: &Received, length: usize, at_hand: usize) {
        self.fragments += 1;
        self.left = length;
        self.key = head.key;
        self.offset = 0;
        self.fin = head.fin;
        // Not more than twice of what came, so that nobody gets memory for the promise of a large message.
        self.payload
            .reserve(length.min(at_hand.saturating_mul(2).max(ROOM)));
    }

    /// Takes what belongs to the frame from the beginning of some bytes, and tells how many those are.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Invalid> {
        let count = self.left.min(bytes.len());
        let start = self.payload.len();
        self.payload.extend_from_slice(&bytes[..count]);
        let piece = &mut self.payload[start..];
        if let Some(key) = self.key {
            mask::apply(piece, key, self.offset);
        }
        if self.is_text && !self.is_compressed {
            self.utf8.push(piece)?;
        }
        self.left -= count;
        self.offset = self.offset.wrapping_add(count);
        Ok(count)
    }

    /// Whether more of a frame is to come, which is not a head.
    pub(super) fn is_in_frame(&self) -> bool {
        self.left > 0
    }

    /// Whether the message is whole.
    pub(super) fn is_complete(&self) -> bool {
        self.left == 0 && self.fin
    }

    /// Whether the text may end here.
    pub(super) fn finish(&self) -> Result<(), Invalid> {
        self.utf8.finish()
    }
}
