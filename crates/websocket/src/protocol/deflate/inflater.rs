//! Decompression of messages.

use flate2::{Decompress, FlushDecompress, Status};

use super::TAIL;
use crate::protocol::Invalid;

/// A decompressor of the messages of one connection, or of several connections without context takeover.
///
/// Its memory, 48 KB, is allocated for the first message.
#[derive(Debug)]
pub struct Inflater {
    state: Option<Decompress>,
    keep_context: bool,
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater::new()
    }
}

impl Inflater {
    /// Creates an inflater for senders with a window of any size.
    pub fn new() -> Inflater {
        Inflater {
            state: None,
            keep_context: true,
        }
    }

    /// Sets whether a message may refer to earlier ones. It may not if the negotiated parameters exclude
    /// context takeover by the sender. Default: yes.
    #[must_use]
    pub fn keep_context(mut self, keep_context: bool) -> Inflater {
        self.keep_context = keep_context;
        self
    }

    /// Inflates the payload of a message (RFC 7692, section 7.2.2). A block with BFINAL set ends a DEFLATE stream; another stream may
    /// follow at the next byte, as from a sender that finishes its compressor with each write.
    ///
    /// # Errors
    ///
    /// The message is longer than `max` bytes, in which case at most one more byte is inflated; or the payload is not DEFLATE data. After an error,
    /// the next message cannot refer to earlier ones.
    pub fn inflate(&mut self, payload: &[u8], max: usize) -> Result<Vec<u8>, Invalid> {
        // Always the maximum window size, which the library allocates in any case.
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        let mut out = Vec::new();
        // Text typically expands by a factor of four; unused capacity costs nothing.
        let room = payload.len().saturating_mul(4).max(128).min(max + 1);
        out.reserve_exact(room);
        let inflated = inflate(state, payload, max, &mut out);
        if !self.keep_context || inflated.is_err() {
            state.reset(false);
        }
        inflated.map(|()| out)
    }
}

fn inflate(
    state: &mut Decompress,
    payload: &[u8],
    max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    for (input, is_payload) in [(payload, true), (&TAIL, false)] {
        let mut rest = input;
        loop {
            if out.len() == out.capacity() {
                // One byte more than the limit, to detect a longer message.
                out.reserve_exact(out.len().min(max.saturating_sub(out.len()) + 1));
            }
            let (read, written) = (state.total_in(), out.len());
            let status = state
                .decompress_vec(rest, out, FlushDecompress::Sync)
                .map_err(|_| Invalid::DEFLATE)?;
            if out.len() > max {
                return Err(Invalid::TOO_BIG);
            }
            let read = (state.total_in() - read) as usize;
            rest = rest.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                if !is_payload {
                    return Err(Invalid::DEFLATE);
                }
                // Senders that set BFINAL start with an empty window after it, and browsers inflate in the same way.
                state.reset(false);
                if rest.is_empty() {
                    // Without the byte that completes the empty block of the tail, which some senders omit.
                    return Ok(());
                }
                continue;
            }
            let full = out.len() == out.capacity();
            if rest.is_empty() && !full {
                break;
            }
            if read == 0 && out.len() == written && !full {
                return Err(Invalid::DEFLATE);
            }
        }
    }
    Ok(())
}
