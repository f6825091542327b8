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
    bits: u8,
    keep_context: bool,
}

impl Inflater {
    /// An inflater for a sender whose window has `bits` bits.
    ///
    /// # Limits
    ///
    /// 8 to 15; what is below or above counts as that.
    pub fn new(bits: u8) -> Inflater {
        Inflater {
            state: None,
            // The library has no smaller window, and a larger one does as well.
            bits: bits.clamp(9, 15),
            keep_context: true,
        }
    }

    /// Sets whether a message may refer to those before it, which it may not if the sender was told not to take over its
    /// context. Default: yes.
    #[must_use]
    pub fn keep_context(mut self, keep_context: bool) -> Inflater {
        self.keep_context = keep_context;
        self
    }

    /// The message of a compressed payload (RFC 7692, 7.2.2).
    ///
    /// # Errors
    ///
    /// It becomes longer than `most` bytes, and no more than that of it is inflated; or it is not compressed. The next
    /// message then has to refer to none before.
    pub fn inflate(&mut self, payload: &[u8], most: usize) -> Result<Vec<u8>, Invalid> {
        let state = self
            .state
            .get_or_insert_with(|| Decompress::new_with_window_bits(false, self.bits));
        let mut out = Vec::new();
        // Four times is what text becomes, and costs nothing if it does not.
        let room = payload.len().saturating_mul(4).max(128).min(most + 1);
        out.reserve_exact(room);
        let inflated = inflate(state, payload, most, &mut out);
        if !self.keep_context || inflated != Ok(End::Open) {
            state.reset(false);
        }
        inflated.map(|_| out)
    }
}

/// How the blocks of a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More may follow in the next message.
    Open,
    /// By a block that says that it is the last (RFC 7692, 7.2.3.4).
    Last,
}

fn inflate(
    state: &mut Decompress,
    payload: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<End, Invalid> {
    for (input, what_may_follow) in [(payload, &[0][..]), (&TAIL, &[])] {
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
                if rest.is_empty() || rest == what_may_follow {
                    return Ok(End::Last);
                }
                return Err(Invalid::DEFLATE);
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
    Ok(End::Open)
}
