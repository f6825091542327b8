//! Frames of the bus: any bytes are decoded or refused alike, however they are split, and what was decoded is encoded again as it was.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use uptick_workers::bus::frame::{FrameDecoder, FrameError, append};

/// Decodes bytes that come in pieces; returns the frames as they are encoded, and the error that ended them.
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
