//! Incomplete messages.

use bytes::BytesMut;

use super::head::FrameHead;
use super::invalid::Invalid;
use super::mask;
use super::utf8::Utf8Validator;

/// Minimum number of bytes reserved for a message, unless it is shorter.
const MIN_RESERVE: usize = 4096;

/// The received part of a message, and the position in the current frame.
#[derive(Debug)]
pub(super) struct PartialMessage {
    pub(super) is_text: bool,
    pub(super) is_compressed: bool,
    /// The unmasked payload; still compressed if the message is compressed.
    pub(super) payload: BytesMut,
    pub(super) fragments: usize,
    utf8: Utf8Validator,
    /// Number of missing bytes of the current frame.
    left: usize,
    key: Option<[u8; 4]>,
    /// Number of received bytes of the current frame.
    offset: usize,
    fin: bool,
}

impl PartialMessage {
    pub(super) fn new(is_text: bool, is_compressed: bool) -> PartialMessage {
        PartialMessage {
            is_text,
            is_compressed,
            payload: BytesMut::new(),
            fragments: 0,
            utf8: Utf8Validator::new(),
            left: 0,
            key: None,
            offset: 0,
            fin: false,
        }
    }

    /// Starts a frame with a validated length. `available` is the number of bytes already received after its head.
    pub(super) fn begin_frame(&mut self, head: &FrameHead, length: usize, available: usize) {
        self.fragments += 1;
        self.left = length;
        self.key = head.key;
        self.offset = 0;
        self.fin = head.fin;
        // At most twice the received bytes, or 4 KiB, so that announcing a large message does not allocate its whole length.
        self.payload
            .reserve(length.min(available.saturating_mul(2).max(MIN_RESERVE)));
    }

    /// Appends the bytes that belong to the current frame; returns their number.
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

    /// Returns `true` if the current frame is incomplete.
    pub(super) fn is_in_frame(&self) -> bool {
        self.left > 0
    }

    /// Returns `true` if the message is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.left == 0 && self.fin
    }

    /// Checks that the text does not end within a character.
    pub(super) fn finish(&self) -> Result<(), Invalid> {
        self.utf8.finish()
    }
}
