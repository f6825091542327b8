//! Frames of the bus: decoding does not depend on how the bytes are split, and decoded frames are encoded to the same bytes.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use uptick_workers::bus::frame::{FrameDecoder, FrameError, append};

/// Decodes bytes in pieces; returns the re-encoded frames, and the error if there was one.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(&mut BytesMut::from(piece));
        loop {
            match decoder.next() {
                Ok(Some(frame)) => append(&mut frames, &frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    let whole = decode([&bytes[..]]);
    assert!(bytes.starts_with(&whole.0));
    assert_eq!(decode(bytes.chunks(usize::from(size) + 1)), whole);
});
