//! MessagePack writer, with the same choice of formats as `notepack.io`.

use crate::protocol::{Number, Value};

/// Writes a length: in the prefix byte if it is below `short`, otherwise after the first of `prefixes` whose size of 1, 2 or 4 bytes fits.
fn length(bytes: &mut Vec<u8>, length: usize, fixed: u8, short: usize, prefixes: [Option<u8>; 3]) {
    if length < short {
        // `length` is less than 32.
        bytes.push(fixed | length.to_le_bytes()[0]);
        return;
    }
    let number = length.to_be_bytes();
    for (prefix, size) in prefixes.into_iter().zip([1, 2, 4]) {
        if let Some(prefix) = prefix
            && (size == 4 || length >> (8 * size) == 0)
        {
            bytes.push(prefix);
            bytes.extend_from_slice(&number[number.len() - size..]);
            return;
        }
    }
}

/// Writes a string.
pub(crate) fn string(bytes: &mut Vec<u8>, text: &str) {
    length(
        bytes,
        text.len(),
        0xa0,
        32,
        [Some(0xd9), Some(0xda), Some(0xdb)],
    );
    bytes.extend_from_slice(text.as_bytes());
}

/// Writes a non-negative integer.
pub(crate) fn unsigned(bytes: &mut Vec<u8>, number: u64) {
    let (prefix, size) = match number {
        0..0x80 => (None, 1),
        0x80..0x100 => (Some(0xcc), 1),
        0x100..0x1_0000 => (Some(0xcd), 2),
        0x1_0000..0x1_0000_0000 => (Some(0xce), 4),
        _ => (Some(0xcf), 8),
    };
    bytes.extend(prefix);
    bytes.extend_from_slice(&number.to_be_bytes()[8 - size..]);
}

/// Writes a negative integer.
fn negative(bytes: &mut Vec<u8>, number: i64) {
    let (prefix, size) = match number {
        -0x20.. => (None, 1),
        -0x80.. => (Some(0xd0), 1),
        -0x8000.. => (Some(0xd1), 2),
        -0x8000_0000.. => (Some(0xd2), 4),
        _ => (Some(0xd3), 8),
    };
    bytes.extend(prefix);
    bytes.extend_from_slice(&number.to_be_bytes()[8 - size..]);
}

fn number(bytes: &mut Vec<u8>, number: &Number) {
    if let Some(number) = number.as_u64() {
        unsigned(bytes, number);
    } else if let Some(number) = number.as_i64() {
        negative(bytes, number);
    } else {
        bytes.push(0xcb);
        bytes.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

/// Writes a value.
pub(crate) fn value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0xc0),
        Value::Bool(false) => bytes.push(0xc2),
        Value::Bool(true) => bytes.push(0xc3),
        Value::Number(value) => number(bytes, value),
        Value::String(text) => string(bytes, text),
        Value::Binary(binary) => {
            length(
                bytes,
                binary.len(),
                0,
                0,
                [Some(0xc4), Some(0xc5), Some(0xc6)],
            );
            bytes.extend_from_slice(binary);
        }
        Value::Array(array) => {
            length(bytes, array.len(), 0x90, 16, [None, Some(0xdc), Some(0xdd)]);
            array.iter().for_each(|element| self::value(bytes, element));
        }
        Value::Object(object) => {
            length(
                bytes,
                object.len(),
                0x80,
                16,
                [None, Some(0xde), Some(0xdf)],
            );
            for (key, element) in object {
                string(bytes, key);
                self::value(bytes, element);
            }
        }
    }
}
