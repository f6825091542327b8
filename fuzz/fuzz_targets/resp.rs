//! RESP: decoding does not depend on how the bytes are split, respects the limits, and does not panic.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use uptick_redis::protocol::{Decoder, Limits, ProtocolError, Value};

/// Decodes bytes in pieces; returns the values, and the error if there was one.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Value>, Option<ProtocolError>) {
    let mut limits = Limits::new();
    limits.depth = 8;
    limits.elements = 1000;
    limits.bulk = 10_000;
    limits.total = 20_000;
    let mut decoder = Decoder::with_limits(limits);
    let mut values = Vec::new();
    for piece in pieces {
        decoder.push(BytesMut::from(piece));
        loop {
            match decoder.decode() {
                Ok(Some(value)) => {
                    assert!(depth(&value) <= limits.depth);
                    values.push(value);
                }
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

fn depth(value: &Value) -> usize {
    let deepest = |all: &[Value]| all.iter().map(depth).max().unwrap_or(0) + 1;
    match value {
        Value::Array(all) | Value::Set(all) | Value::Push(all) if !all.is_empty() => deepest(all),
        Value::Map(pairs) if !pairs.is_empty() => {
            let all = pairs.iter().flat_map(|(key, value)| [key, value]);
            all.map(depth).max().unwrap_or(0) + 1
        }
        _ => 0,
    }
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    // As text, because NaN is not equal to itself.
    let whole = format!("{:?}", decode([&bytes[..]]));
    let split = format!("{:?}", decode(bytes.chunks(usize::from(size) + 1)));
    assert_eq!(split, whole);
});
