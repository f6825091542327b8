//! `Deserializer` implementation of `Value`, so that arguments with binary data can be deserialized as user types.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Error as _, IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::Error;

use super::Value;

impl<'de> IntoDeserializer<'de, Error> for Value {
    type Deserializer = Value;

    fn into_deserializer(self) -> Value {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => number.deserialize_any(visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Binary(bytes) => visitor.visit_byte_buf(bytes.into()),
            Value::Array(array) => {
                let mut sequence = SeqDeserializer::new(array.into_iter());
                let value = visitor.visit_seq(&mut sequence)?;
                sequence.end()?;
                Ok(value)
            }
            Value::Object(object) => {
                let mut map = MapDeserializer::new(object.into_iter());
                let value = visitor.visit_map(&mut map)?;
                map.end()?;
                Ok(value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Value::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Value::String(variant) => visitor.visit_enum(variant.into_deserializer()),
            Value::Object(object) if object.len() == 1 => visitor.visit_enum(
                MapAccessDeserializer::new(MapDeserializer::new(object.into_iter())),
            ),
            _ => Err(Error::custom(
                "expected an enum variant: a string, or an object with one key",
            )),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Point,
        Circle(f64),
        Box { width: u32 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct File {
        name: String,
        content: Bytes,
        owner: Option<String>,
        shapes: Vec<Shape>,
    }

    #[test]
    fn a_value_is_deserialized_as_a_type_with_bytes_and_enums() {
        let json =
            r#"{"name":"a","owner":null,"shapes":["Point",{"Circle":2},{"Box":{"width":3}}]}"#;
        let mut value: Value = serde_json::from_str(json).unwrap();
        if let Value::Object(object) = &mut value {
            object.insert("content".into(), Value::Binary(Bytes::from_static(&[1, 2])));
        }
        assert!(value.has_binary());
        let file = File::deserialize(value).unwrap();
        let shapes = vec![Shape::Point, Shape::Circle(2.0), Shape::Box { width: 3 }];
        assert_eq!(
            file,
            File {
                name: "a".into(),
                content: Bytes::from_static(&[1, 2]),
                owner: None,
                shapes
            }
        );
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        assert!(u8::deserialize(Value::from("1")).is_err());
        assert!(u8::deserialize(Value::from(256)).is_err());
        assert!(Shape::deserialize(Value::from(1)).is_err());
        assert!(<(u8, u8)>::deserialize(Value::from(vec![Value::from(1)])).is_err());
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        let value: Value = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"a":3,"b":2}"#);
    }
}
