//! Messages in fewer bytes.

use flate2::{Compress, Compression, FlushCompress, Status};

use super::TAIL;

/// Messages of fewer bytes are sent as they are: compressing them costs more than the few bytes that it saves.
const LEAST: usize = 64;

/// The same for messages that may not refer to those before them, of which shorter ones get hardly smaller.
const LEAST_ALONE: usize = 128;

/// The level of compression, of 9.
const LEVEL: u32 = 5;

/// Compresses the messages of one connection, or of several for which nothing is kept from one message to the next.
///
/// Its memory, 250 KB with a window of 9 bits and 380 KB with one of 15, is taken with the first message.
#[derive(Debug)]
pub struct Deflater {
    state: Option<Compress>,
    bits: u8,
}

impl Deflater {
    /// A deflater whose window has `bits` bits. One with 8 bits, which the library cannot do, leaves all messages as they
    /// are.
    ///
    /// # Limits
    ///
    /// 8 to 15; what is below or above counts as that.
    pub fn new(bits: u8) -> Deflater {
        Deflater {
            state: None,
            bits: bits.clamp(8, 15),
        }
    }

    /// Appends a compressed message (RFC 7692, 7.2.1), and tells whether it did; if not, the message is to be sent as it is.
    /// With `keep_context`, later messages may refer to this one, and those of less than 64 bytes are left as they are;
    /// without, those of less than 128, and those that would not get smaller.
    #[must_use]
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>, keep_context: bool) -> bool {
        let least = if keep_context { LEAST } else { LEAST_ALONE };
        if payload.len() < least || self.bits < 9 {
            return false;
        }
        let state = self.state.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(LEVEL), false, self.bits)
        });
        let start = out.len();
        // One that does not get smaller is sent nevertheless if later ones may refer to it.
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

/// Whether it could be done; if so, without the tail.
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
    let whole = rest.is_empty() && end > start && out[end..] == TAIL;
    out.truncate(end);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CloseCode, Inflater};

    /// Bytes that do not get smaller.
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
    fn each_length_and_window_comes_out_as_it_went_in() {
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
    fn a_context_is_kept_if_it_is_to_be() {
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
        // One that forgets cannot read the second.
        let mut inflater = Inflater::new().keep_context(false);
        assert_eq!(inflater.inflate(&first, 2000).as_ref(), Ok(&half));
        assert_ne!(inflater.inflate(&second, 2000).as_ref(), Ok(&half));
    }

    #[test]
    fn a_message_that_gets_no_smaller_makes_the_next_smaller() {
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
    fn what_is_short_or_gets_no_smaller_is_left_as_it_is() {
        let mut out = b"before".to_vec();
        for message in [noise(10_000), noise(128), text(127), Vec::new()] {
            assert!(!Deflater::new(15).compress(&message, &mut out, false));
            assert_eq!(out, b"before");
        }
        assert!(!Deflater::new(15).compress(&text(63), &mut out, true));
        assert!(!Deflater::new(8).compress(&text(1000), &mut out, true));
    }

    #[test]
    fn what_was_not_sent_is_not_referred_to() {
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
    fn a_bomb_is_given_up_where_it_exceeds_what_is_allowed() {
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
    fn what_is_not_compressed_is_refused_and_does_not_spoil_the_next() {
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
    fn the_examples_of_the_rfc_are_read() {
        let mut inflater = Inflater::new();
        let hello = Ok(b"Hello".to_vec());
        // 7.2.3.1: one block, and the second time with its context.
        let block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflater.inflate(&block, 5), hello);
        assert_eq!(inflater.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 5), hello);
        // 7.2.3.3: without compression.
        let stored = [
            0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
        ];
        assert_eq!(inflater.inflate(&stored, 5), hello);
        // 7.2.3.4: a block that says that it is the last.
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        assert_eq!(inflater.inflate(&last, 5), hello);
        assert_eq!(inflater.inflate(&last, 5), hello);
        // 7.2.3.5: two blocks.
        let two = [
            0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
        ];
        assert_eq!(inflater.inflate(&two, 5), hello);
        // 7.2.3.6: nothing.
        assert_eq!(inflater.inflate(&[0x00], 5), Ok(Vec::new()));
    }

    /// The bytes of `Hello` in a block with BFINAL set, padded to a byte (RFC 7692, 7.2.3.4, without the last byte).
    const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    #[test]
    fn blocks_with_bfinal_follow_one_another_in_a_message() {
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
                // Empty blocks with BFINAL set are no end of the message either.
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
    fn what_follows_a_block_with_bfinal_refers_to_nothing_before_it() {
        let mut inflater = Inflater::new();
        // The second one of 7.2.3.2, which refers to the `Hello` before it.
        let repeated = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let both = [&FINAL[..], &repeated].concat();
        let error = inflater.inflate(&both, 100).unwrap_err();
        assert_eq!(error.code(), CloseCode::INVALID_DATA);
    }

    #[test]
    fn a_block_that_does_not_end_is_refused_also_behind_one_with_bfinal() {
        let mut inflater = Inflater::new();
        for wrong in [&FINAL[..4], &[0xff], &[0x01, 0x05, 0x00, 0xfa, 0xff, b'H']] {
            let bytes = [&FINAL[..], wrong].concat();
            let error = inflater.inflate(&bytes, 100).unwrap_err();
            assert_eq!(error.code(), CloseCode::INVALID_DATA, "{wrong:x?}");
        }
    }
}
