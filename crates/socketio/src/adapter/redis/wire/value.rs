//! Encoding and decoding of values.

use bytes::Bytes;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use uptick_websocket::Text;

use super::{MESSAGE_LIMIT, WireError};
use crate::protocol::Value;
use crate::protocol::json::{self, JsonError, MAX_DEPTH};
use crate::protocol::msgpack::read::Reader;
use crate::protocol::msgpack::write;
use crate::protocol::packet::{PacketError, replace_surrogates};

/// Decodes a message: JSON if it begins with `{`, otherwise MessagePack.
pub(super) fn decode(bytes: Bytes) -> Result<Value, WireError> {
    match bytes.first() {
        Some(b'{') => decode_json(bytes),
        _ => decode_msgpack(bytes),
    }
}

fn decode_json(bytes: Bytes) -> Result<Value, WireError> {
    check_length(&bytes)?;
    let mut text = Text::try_from(bytes).map_err(|_| WireError::Json)?;
    let scanned = json::scan(text.as_bytes(), MAX_DEPTH).map_err(|error| match error {
        JsonError::Syntax => WireError::Json,
        JsonError::TooDeep => WireError::TooDeep,
    })?;
    if !scanned.lone_surrogates.is_empty() {
        text = replace_surrogates(&text, &scanned.lone_surrogates);
    }
    serde_json::from_slice(text.as_bytes()).map_err(|_| WireError::Json)
}

/// Decodes MessagePack. Binary values share the memory of `bytes`.
pub(super) fn decode_msgpack(bytes: Bytes) -> Result<Value, WireError> {
    check_length(&bytes)?;
    let mut reader = Reader::new(bytes, MAX_DEPTH);
    let value = reader.value(0).and_then(|value| {
        reader.end()?;
        Ok(value.unwrap_or_default())
    });
    value.map_err(|error| match error {
        PacketError::TooDeep { .. } => WireError::TooDeep,
        error => WireError::MessagePack(error),
    })
}

fn check_length(bytes: &Bytes) -> Result<(), WireError> {
    match bytes.len() <= MESSAGE_LIMIT {
        true => Ok(()),
        false => Err(WireError::TooLong(bytes.len())),
    }
}

/// Encodes a value as JSON, or as MessagePack if it contains binary data.
pub(super) fn encode(value: &Value) -> Bytes {
    match value.has_binary() {
        true => encode_msgpack(value),
        false => encode_json(value),
    }
}

/// Encodes a value as JSON. Binary data becomes `{"type":"Buffer","data":[…]}`, as in Node.js.
pub(super) fn encode_json(value: &Value) -> Bytes {
    // Serializing a value to memory cannot fail: all keys are strings.
    serde_json::to_vec(&Json(value)).unwrap_or_default().into()
}

pub(super) fn encode_msgpack(value: &Value) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    write::value(&mut bytes, value);
    bytes.into()
}

/// A value that is serialized as by `JSON.stringify`.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Binary(bytes) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", "Buffer")?;
                map.serialize_entry("data", &bytes[..])?;
                map.end()
            }
            Value::Array(array) => {
                let mut sequence = serializer.serialize_seq(Some(array.len()))?;
                for value in array {
                    sequence.serialize_element(&Json(value))?;
                }
                sequence.end()
            }
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object {
                    map.serialize_entry(key, &Json(value))?;
                }
                map.end()
            }
            value => value.serialize(serializer),
        }
    }
}

/// Creates an object with its keys in the given order.
pub(super) fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.into_iter();
    Value::Object(
        entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

pub(super) fn number(number: usize) -> Value {
    Value::Number((number as u64).into())
}

pub(super) fn strings(strings: &[String]) -> Value {
    let strings = strings.iter().map(|text| Value::from(text.as_str()));
    Value::Array(strings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_data_is_encoded_as_in_node() {
        let value = object([("b", Value::Binary(Bytes::from_static(&[1, 255])))]);
        assert_eq!(
            encode_json(&value),
            r#"{"b":{"type":"Buffer","data":[1,255]}}"#
        );
        assert_eq!(encode(&value), &b"\x81\xa1b\xc4\x02\x01\xff"[..]);
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        let value = decode(Bytes::from_static(br#"{"a":"\ud83d"}"#)).unwrap();
        assert_eq!(value.get("a"), Some(&Value::from("\u{fffd}")));
    }
}
