//! JSON values that may contain binary data.

mod deserialize;

use std::fmt;

use bytes::Bytes;
use indexmap::IndexMap;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use serde_json::Number;

use super::packet::{self, EncodeError};

/// A value in the arguments of an event: JSON or binary data.
///
/// It can be serialized and deserialized with `serde`, and is itself a deserializer. Binary data maps to bytes in the `serde` data model: use `bytes::Bytes`, or fields
/// with `serde_bytes`.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::Value;
///
/// let value: Value = serde_json::from_str(r#"{"a":[1,"two",null]}"#)?;
/// assert_eq!(value.get("a").and_then(|list| list.at(1)), Some(&Value::from("two")));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, or JavaScript's `undefined`.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// A number. JSON has neither infinity nor NaN; they become `null`.
    Number(Number),
    /// A string.
    String(String),
    /// Binary data.
    Binary(Bytes),
    /// An array.
    Array(Vec<Value>),
    /// An object, with its keys in insertion order.
    Object(IndexMap<String, Value>),
}

impl Value {
    /// Serializes `value`.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if the value cannot be serialized, or is nested too deeply.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::protocol::Value;
    ///
    /// assert_eq!(Value::of(&("a", 1))?, Value::from(vec![Value::from("a"), Value::from(1)]));
    /// # Ok::<(), uptick_socketio::protocol::packet::EncodeError>(())
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Value, EncodeError> {
        packet::to_value(value)
    }

    /// Creates a number, or `null` for infinity and NaN.
    pub fn from_f64(number: f64) -> Value {
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }

    /// Returns the value of a key if this is an object that contains it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// Returns the element at an index if this is an array that contains it.
    pub fn at(&self, index: usize) -> Option<&Value> {
        match self {
            Value::Array(array) => array.get(index),
            _ => None,
        }
    }

    /// Returns `true` if the value contains binary data at any depth.
    pub fn has_binary(&self) -> bool {
        match self {
            Value::Binary(_) => true,
            Value::Array(array) => array.iter().any(Value::has_binary),
            Value::Object(object) => object.values().any(Value::has_binary),
            _ => false,
        }
    }

    /// Replaces placeholders with their attachments. Returns `false` if a placeholder refers to an attachment that does not exist.
    pub(crate) fn reconstruct(&mut self, attachments: &[Bytes]) -> bool {
        match self {
            Value::Array(array) => array.iter_mut().all(|value| value.reconstruct(attachments)),
            Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
                let index = match object.get("num") {
                    // In JavaScript, `2.0` is the integer 2.
                    Some(Value::Number(num)) => {
                        num.as_f64().filter(|num| *num >= 0.0 && num.fract() == 0.0)
                    }
                    _ => None,
                };
                let attachment = index.and_then(|index| attachments.get(index as usize));
                let Some(attachment) = attachment else {
                    return false;
                };
                *self = Value::Binary(attachment.clone());
                true
            }
            Value::Object(object) => object
                .values_mut()
                .all(|value| value.reconstruct(attachments)),
            _ => true,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number.into())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Binary(bytes)
    }
}

impl From<Vec<Value>> for Value {
    fn from(array: Vec<Value>) -> Value {
        Value::Array(array)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => number.serialize(serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Binary(bytes) => serializer.serialize_bytes(bytes),
            Value::Array(array) => {
                let mut sequence = serializer.serialize_seq(Some(array.len()))?;
                for value in array {
                    sequence.serialize_element(value)?;
                }
                sequence.end()
            }
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Visitor that builds a [`Value`].
struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON or binary data")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from_f64(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Binary(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Binary(bytes.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = sequence.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = IndexMap::new();
        while let Some((key, value)) = map.next_entry()? {
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
