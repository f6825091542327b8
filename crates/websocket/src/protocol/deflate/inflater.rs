//! Messages as they were before they were compressed.

use flate2::{Decompress, FlushDecompress, Status};

use super::TAIL;
use crate::protocol::Invalid;

/// Inflates the messages of one connection, or of several whose senders keep nothing from one message to the next.
///
/// Its memory, 48 KB, is taken with the first message.
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

    /// Sets whether a message may refer to the messages before it. It may not where the negotiated parameters forbid the
    /// sender to take over its context. Default: yes.
    #[must_use]
    pub fn keep_context(mut self, keep_context: bool) -> Inflater {
        self.keep_context = keep_context;
        self
    }

    /// Inflates the payload of a message (RFC 7692, 7.2.2). A block with BFINAL set ends a DEFLATE stream; another stream may
    /// follow at the next byte, as where a sender finishes its compressor with each write.
    ///
    /// # Errors
    ///
    /// The message is longer than `most` bytes, of which one more at most is inflated; or the payload is not DEFLATE data. The
    /// next message then cannot refer to any before it.
    pub fn inflate(&mut self, payload: &[u8], most: usize) -> Result<Vec<u8>, Invalid> {
        // All windows have the size of the largest one: the library allocates that in any case.
        let state = self.state.get_or_insert_with(|| Decompress::new(false));
        let mut out = Vec::new();
        // Four times is what text becomes, and costs nothing if it does not.
        let room = payload.len().saturating_mul(4).max(128).min(most + 1);
        out.reserve_exact(room);
        let inflated = inflate(state, payload, most, &mut out);
        if !self.keep_context || inflated.is_err() {
            state.reset(false);
        }
        inflated.map(|()| out)
    }
}

fn inflate(
    state: &mut Decompress,
    payload: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    for (input, is_payload) in [(payload, true), (&TAIL, false)] {
        let mut rest = input;
        loop {
            if out.len() == out.capacity() {
                // At most one byte more than is allowed, by which it is seen.
                out.reserve_exact(out.len().min(most.saturating_sub(out.len()) + 1));
            }
            let (read, written) = (state.total_in(), out.len());
            let status = state
                .decompress_vec(rest, out, FlushDecompress::Sync)
                .map_err(|_| Invalid::DEFLATE)?;
            if out.len() > most {
                return Err(Invalid::TOO_BIG);
            }
            let read = (state.total_in() - read) as usize;
            rest = rest.get(read..).unwrap_or_default();
            if status == Status::StreamEnd {
                if !is_payload {
                    return Err(Invalid::DEFLATE);
                }
                // Senders that set BFINAL begin with an empty window after it, and so do browsers when they inflate.
                state.reset(false);
                if rest.is_empty() {
                    // The byte that would make an empty block of the tail is missing: some senders omit it.
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
