//! Compression of messages.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::TAIL;

/// Minimum length of compressed messages: for shorter ones, the saved bytes are not worth the time.
const MIN_LENGTH: usize = 64;

/// Minimum length of messages compressed without a context: compression hardly shortens shorter ones.
const MIN_LENGTH_WITHOUT_CONTEXT: usize = 128;

/// Compression level, of at most 9.
const LEVEL: u32 = 5;

/// A compressor of the messages of one connection, or of several connections without context takeover.
///
/// Its memory, 250 KB with a window of 9 bits and 380 KB with one of 15 bits, is allocated for the first message.
#[derive(Debug)]
pub struct Deflater {
    state: Option<Compress>,
    bits: u8,
}

impl Deflater {
    /// Creates a deflater with a window size of `bits`. The library does not support 8 bits: such a deflater compresses no
    /// messages.
    ///
    /// # Limits
    ///
    /// 8 to 15; other values are clamped.
    pub fn new(bits: u8) -> Deflater {
        Deflater {
            state: None,
            bits: bits.clamp(8, 15),
        }
    }

    /// Appends the compressed message (RFC 7692, section 7.2.1), and returns `true`; `false` to send the message uncompressed.
    /// With `keep_context`, later messages may refer to this one, and messages shorter than 64 bytes are not compressed.
    /// Without it, messages shorter than 128 bytes, and incompressible ones, are not compressed.
    #[must_use]
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>, keep_context: bool) -> bool {
        let min_length = if keep_context {
            MIN_LENGTH
        } else {
            MIN_LENGTH_WITHOUT_CONTEXT
        };
        if payload.len() < min_length || self.bits < 9 {
            return false;
        }
        let state = self.state.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(LEVEL), false, self.bits)
        });
        let start = out.len();
        // With a context, a message that does not get smaller is sent nevertheless, because later ones may refer to it.
        let done =
            compress(state, payload, out) && (keep_context || out.len() - start < payload.len());
        if !done {
            out.truncate(start);
        }
        if !done || !keep_context {
            state.reset();
        }
        done
    }
}

/// Compresses the payload without the tail; returns `false` on failure.
fn compress(state: &mut Compress, payload: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut rest = payload;
    out.reserve(payload.len() / 2 + 64);
    loop {
        let read = state.total_in();
        match state.compress_vec(rest, out, FlushCompress::Sync) {
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) | Err(_) => return false,
        }
        let read = (state.total_in() - read) as usize;
        rest = rest.get(read..).unwrap_or_default();
        if out.len() < out.capacity() {
            break;
        }
        out.reserve(out.len() - start);
    }
    let end = out.len().saturating_sub(TAIL.len());
    let is_complete = rest.is_empty() && end > start && out[end..] == TAIL;
    out.truncate(end);
    is_complete
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CloseCode, Inflater};

    /// Returns incompressible bytes.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let step = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(step).take(length).collect()
    }

    fn text(length: usize) -> Vec<u8> {
        let words =
            (0..).flat_map(|number: u32| format!("word{} ", number * 7919 % 97).into_bytes());
        words.take(length).collect()
    }

    #[test]
    fn messages_of_each_length_and_window_are_restored() {
        for bits in 9..=15 {
            for keep in [false, true] {
                let mut deflater = Deflater::new(bits);
                let mut inflater = Inflater::new().keep_context(keep);
                for length in [128, 129, 191, 1000, 4096, 40_000, 70_000, 300_000] {
                    let message = text(length);
                    let mut small = b"before".to_vec();
                    assert!(
                        deflater.compress(&message, &mut small, keep),
                        "{bits} {length}"
                    );
                    assert!(small.len() - 6 < length);
                    let inflated = inflater.inflate(&small[6..], length).unwrap();
                    assert!(inflated == message, "{bits} {keep} {length}");
                }
            }
        }
    }

    #[test]
    fn a_context_is_kept_if_enabled() {
        let mut deflater = Deflater::new(15);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut half = noise(1000);
        half.extend(text(1000));
        assert!(deflater.compress(&half, &mut first, true));
        assert!(deflater.compress(&half, &mut second, true));
        assert!(second.len() < first.len() / 10);
        let mut inflater = Inflater::new();
        assert_eq!(inflater.inflate(&first, 2000).as_ref(), Ok(&half));
        assert_eq!(inflater.inflate(&second, 2000).as_ref(), Ok(&half));
        // Without the context, the second message cannot be inflated.
        let mut inflater = Inflater::new().keep_context(false);
        assert_eq!(inflater.inflate(&first, 2000).as_ref(), Ok(&half));
        assert_ne!(inflater.inflate(&second, 2000).as_ref(), Ok(&half));
    }

    #[test]
    fn an_incompressible_message_is_a_context_for_the_next() {
        let mut deflater = Deflater::new(15);
        let mut inflater = Inflater::new();
        for length in [64, 100, 70_000] {
            let message = noise(length);
            let (mut first, mut second) = (Vec::new(), Vec::new());
            assert!(deflater.compress(&message, &mut first, true));
            assert!(first.len() < length + length / 128 + 16);
            assert_eq!(inflater.inflate(&first, length).as_ref(), Ok(&message));
            if length < 32_768 {
                assert!(deflater.compress(&message, &mut second, true));
                assert!(second.len() < 20, "{}", second.len());
                assert_eq!(inflater.inflate(&second, length).as_ref(), Ok(&message));
            }
        }
    }

    #[test]
    fn short_or_incompressible_messages_are_not_compressed() {
        let mut out = b"before".to_vec();
        for message in [noise(10_000), noise(128), text(127), Vec::new()] {
            assert!(!Deflater::new(15).compress(&message, &mut out, false));
            assert_eq!(out, b"before");
        }
        assert!(!Deflater::new(15).compress(&text(63), &mut out, true));
        assert!(!Deflater::new(8).compress(&text(1000), &mut out, true));
    }

    #[test]
    fn an_unsent_message_is_not_part_of_the_context() {
        let mut deflater = Deflater::new(15);
        let mut inflater = Inflater::new();
        let mut out = Vec::new();
        assert!(!deflater.compress(&noise(2000), &mut out, false));
        let mut message = noise(1000);
        message.extend(text(1000));
        assert!(deflater.compress(&message, &mut out, true));
        assert_eq!(inflater.inflate(&out, 2000), Ok(message));
    }

    #[test]
    fn inflating_a_bomb_stops_at_the_limit() {
        let mut small = Vec::new();
        assert!(Deflater::new(15).compress(&vec![0; 4_000_000], &mut small, false));
        assert!(small.len() < 8_000);
        let mut inflater = Inflater::new();
        let error = inflater.inflate(&small, 1_000_000).unwrap_err();
        assert_eq!(error.code(), CloseCode::TOO_BIG);
        let error = inflater.inflate(&small, 3_999_999).unwrap_err();
        assert_eq!(error.code(), CloseCode::TOO_BIG);
        assert_eq!(
            inflater.inflate(&small, 4_000_000).unwrap().len(),
            4_000_000
        );
    }

    #[test]
    fn invalid_data_is_refused_and_does_not_affect_the_next_message() {
        let mut small = Vec::new();
        assert!(Deflater::new(15).compress(&text(500), &mut small, false));
        let mut inflater = Inflater::new().keep_context(false);
        for wrong in [&b"\xff\xff\xff"[..], b"\x07", &noise(300)] {
            let error = inflater.inflate(wrong, 1000).unwrap_err();
            assert_eq!(error.code(), CloseCode::INVALID_DATA, "{wrong:x?}");
            assert_eq!(inflater.inflate(&small, 1000), Ok(text(500)));
        }
    }

    #[test]
    fn the_examples_of_the_rfc_are_inflated() {
        let mut inflater = Inflater::new();
        let hello = Ok(b"Hello".to_vec());
        // Section 7.2.3.1: one block, and then the same text with the context.
        let block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflater.inflate(&block, 5), hello);
        assert_eq!(inflater.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 5), hello);
        // Section 7.2.3.3: without compression.
        let stored = [
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ];
        assert_eq!(inflater.inflate(&stored, 5), hello);
        // Section 7.2.3.4: a block with BFINAL set.
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(inflater.inflate(&last, 5), hello);
        assert_eq!(inflater.inflate(&last, 5), hello);
        // Section 7.2.3.5: two blocks.
        let two = [
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ];
        assert_eq!(inflater.inflate(&two, 5), hello);
        // Section 7.2.3.6: an empty message.
        assert_eq!(inflater.inflate(&[0x00], 5), Ok(Vec::new()));
    }

    /// The bytes of `Hello` in a block with BFINAL set, padded to a byte (RFC 7692, section 7.2.3.4, without the last byte).
    const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    #[test]
    fn a_message_may_have_several_blocks_with_bfinal() {
        let block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let stored = [0x01, 0x05, 0x00, 0xfa, 0xff, b'H', b'e', b'l', b'l', b'o'];
        for keep in [false, true] {
            let mut inflater = Inflater::new().keep_context(keep);
            for (blocks, count) in [
                (vec![&FINAL[..], &FINAL, &[0]], 2),
                (vec![&FINAL[..], &FINAL], 2),
                (vec![&FINAL[..], &block], 2),
                (vec![&stored[..], &FINAL, &stored, &[0]], 3),
                (
                    vec![&FINAL[..], &[0x00, 0x00, 0x00, 0xff, 0xff], &FINAL, &block],
                    3,
                ),
                // Empty blocks with BFINAL set do not end the message either.
                (vec![&[0x03, 0x00][..], &FINAL, &[0x03, 0x00], &[0]], 1),
            ] {
                let inflated = inflater.inflate(&blocks.concat(), 100);
                assert_eq!(inflated, Ok(b"Hello".repeat(count)), "{blocks:x?}");
                assert_eq!(inflater.inflate(&block, 5), Ok(b"Hello".to_vec()));
            }
            let short = inflater.inflate(&[FINAL, FINAL].concat(), 9).unwrap_err();
            assert_eq!(short.code(), CloseCode::TOO_BIG);
        }
    }

    #[test]
    fn a_block_with_bfinal_resets_the_context() {
        let mut inflater = Inflater::new();
        // The second message of section 7.2.3.2, which refers to the `Hello` before it.
        let repeated = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let both = [&FINAL[..], &repeated].concat();
        let error = inflater.inflate(&both, 100).unwrap_err();
        assert_eq!(error.code(), CloseCode::INVALID_DATA);
    }

    #[test]
    fn an_incomplete_block_after_one_with_bfinal_is_refused() {
        let mut inflater = Inflater::new();
        for wrong in [&FINAL[..4], &[0xff], &[0x01, 0x05, 0x00, 0xfa, 0xff, b'H']] {
            let bytes = [&FINAL[..], wrong].concat();
            let error = inflater.inflate(&bytes, 100).unwrap_err();
            assert_eq!(error.code(), CloseCode::INVALID_DATA, "{wrong:x?}");
        }
    }
}
