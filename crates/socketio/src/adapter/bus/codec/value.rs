//! Encoding and decoding of values.

use indexmap::IndexMap;

use super::wire::{Reader, put_bytes, put_number, put_size};
use super::{CodecError, DEPTH_LIMIT};
use crate::protocol::{Number, Value};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const POSITIVE: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const STRING: u8 = 6;
const BINARY: u8 = 7;
const ARRAY: u8 = 8;
const OBJECT: u8 = 9;

pub(super) fn put_value(out: &mut Vec<u8>, value: &Value) -> Result<(), CodecError> {
    put_nested(out, value, 0)
}

fn put_nested(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), CodecError> {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Number(number) => put_json_number(out, number),
        Value::String(text) => {
            out.push(STRING);
            put_bytes(out, text.as_bytes());
        }
        Value::Binary(bytes) => {
            out.push(BINARY);
            put_bytes(out, bytes);
        }
        Value::Array(array) => {
            out.push(ARRAY);
            let depth = deeper(depth)?;
            put_size(out, array.len());
            for value in array {
                put_nested(out, value, depth)?;
            }
        }
        Value::Object(object) => {
            out.push(OBJECT);
            let depth = deeper(depth)?;
            put_size(out, object.len());
            for (key, value) in object {
                put_bytes(out, key.as_bytes());
                put_nested(out, value, depth)?;
            }
        }
    }
    Ok(())
}

fn put_json_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(number) = number.as_u64() {
        out.push(POSITIVE);
        put_number(out, number);
    } else if let Some(number) = number.as_i64() {
        out.push(NEGATIVE);
        // -1 is encoded as 0, so that small negative numbers are short.
        put_number(out, !number as u64);
    } else {
        // The remaining JSON numbers are floats.
        out.push(FLOAT);
        out.extend_from_slice(&number.as_f64().unwrap_or_default().to_le_bytes());
    }
}

fn deeper(depth: usize) -> Result<usize, CodecError> {
    match depth < DEPTH_LIMIT {
        true => Ok(depth + 1),
        false => Err(CodecError::TooDeep),
    }
}

pub(super) fn value(reader: &mut Reader) -> Result<Value, CodecError> {
    nested(reader, 0)
}

fn nested(reader: &mut Reader, depth: usize) -> Result<Value, CodecError> {
    Ok(match reader.byte()? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        POSITIVE => Value::Number(reader.number()?.into()),
        NEGATIVE => {
            let number = i64::try_from(reader.number()?).map_err(|_| CodecError::Number)?;
            Value::Number((!number).into())
        }
        FLOAT => {
            let number = f64::from_le_bytes(reader.array()?);
            Value::Number(Number::from_f64(number).ok_or(CodecError::Number)?)
        }
        STRING => Value::String(reader.string()?),
        BINARY => Value::Binary(reader.bytes()?),
        ARRAY => {
            let depth = deeper(depth)?;
            Value::Array(reader.list(|reader| nested(reader, depth))?)
        }
        OBJECT => {
            let depth = deeper(depth)?;
            let mut object = IndexMap::new();
            reader.list(|reader| {
                let key = reader.string()?;
                let value = nested(reader, depth)?;
                match object.insert(key, value) {
                    None => Ok(()),
                    Some(_) => Err(CodecError::Duplicate),
                }
            })?;
            Value::Object(object)
        }
        kind => return Err(CodecError::Kind(kind)),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn decode(bytes: Vec<u8>) -> Result<Value, CodecError> {
        let mut reader = Reader::new(Bytes::from(bytes));
        let value = value(&mut reader)?;
        reader.finish().map(|()| value)
    }

    #[test]
    fn numbers_keep_their_types() {
        for number in [
            "0",
            "-1",
            "-9223372036854775808",
            "18446744073709551615",
            "0.5",
            "-0.0",
            "1.0",
        ] {
            let value: Value = serde_json::from_str(number).unwrap();
            let mut out = Vec::new();
            put_value(&mut out, &value).unwrap();
            assert_eq!(decode(out).as_ref(), Ok(&value), "{number}");
        }
        let mut infinite = vec![FLOAT];
        infinite.extend_from_slice(&f64::INFINITY.to_le_bytes());
        assert_eq!(decode(infinite), Err(CodecError::Number));
    }

    #[test]
    fn the_depth_is_limited_when_encoding_and_decoding() {
        let mut value = Value::Null;
        for _ in 0..DEPTH_LIMIT {
            value = Value::from(vec![value]);
        }
        let mut out = Vec::new();
        assert_eq!(put_value(&mut out, &value), Ok(()));
        assert_eq!(decode(out), Ok(value.clone()));
        let deeper = Value::from(vec![value]);
        assert_eq!(
            put_value(&mut Vec::new(), &deeper),
            Err(CodecError::TooDeep)
        );
        let bytes = [ARRAY, 1].repeat(1_000_000);
        assert_eq!(decode(bytes), Err(CodecError::TooDeep));
    }

    #[test]
    fn a_duplicate_key_is_refused() {
        assert_eq!(
            decode(vec![OBJECT, 2, 1, b'a', NULL, 1, b'a', NULL]),
            Err(CodecError::Duplicate)
        );
    }
}
