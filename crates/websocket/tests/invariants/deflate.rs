//! What is true of compression, whatever comes. The tests and the fuzzer call it.

use uptick_websocket::protocol::{CloseCode, Deflater, Inflater};

/// Checks bytes both as a message and as a compressed one, of which at most `most` bytes may come out.
pub(crate) fn check(bytes: &[u8], most: usize) {
    for keep_context in [false, true] {
        let mut deflater = Deflater::new(9 + (most % 7) as u8);
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
    let first = inflater.inflate(bytes, most);
    match &first {
        Ok(message) => assert!(message.len() <= most),
        Err(invalid) => {
            assert!([CloseCode::TOO_BIG, CloseCode::INVALID_DATA].contains(&invalid.code()))
        }
    }
    // Nothing of it is left.
    assert!(inflater.inflate(bytes, most) == first);
}
