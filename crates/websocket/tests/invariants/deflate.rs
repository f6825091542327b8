//! Invariants of compression for any input, shared by the tests and the fuzz target.

use uptick_websocket::protocol::{CloseCode, Deflater, Inflater};

/// Checks bytes both as a message and as a compressed message, which may have at most `max` bytes.
pub(crate) fn check(bytes: &[u8], max: usize) {
    for keep_context in [false, true] {
        let mut deflater = Deflater::new(9 + (max % 7) as u8);
        let mut inflater = Inflater::new().keep_context(keep_context);
        let long = bytes.repeat(200 / bytes.len().max(1) + 1);
        for message in [bytes, &long, &long[long.len().min(1)..], bytes] {
            let mut small = Vec::new();
            if deflater.compress(message, &mut small, keep_context) {
                assert!(keep_context || small.len() < message.len());
                assert!(small.len() <= message.len() + message.len() / 128 + 64);
                let inflated = inflater.inflate(&small, message.len());
                assert!(inflated.as_deref() == Ok(message));
            }
        }
    }
    let mut inflater = Inflater::new().keep_context(false);
    let first = inflater.inflate(bytes, max);
    match &first {
        Ok(message) => assert!(message.len() <= max),
        Err(invalid) => {
            assert!([CloseCode::TOO_BIG, CloseCode::INVALID_DATA].contains(&invalid.code()))
        }
    }
    // No state of the first call is left.
    assert!(inflater.inflate(bytes, max) == first);
}
