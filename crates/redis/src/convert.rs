//! Conversion of replies.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use bytes::Bytes;

use crate::Error;
use crate::protocol::Value;

/// A type to which a reply is converted.
///
/// | type | replies |
/// |---|---|
/// | [`Value`] | all |
/// | `()` | all, without their content |
/// | `String`, [`Bytes`] | strings, numbers |
/// | integers | integers, strings of digits |
/// | `f64` | numbers, strings of digits |
/// | `bool` | booleans, 0 and 1, `OK`; null is `false` |
/// | `Option<T>` | null is `None` |
/// | `Vec<T>` | arrays, sets; of a map the pairs |
/// | `HashMap<K, V>`, `BTreeMap<K, V>` | maps, arrays of keys and values in turn |
/// | tuples | arrays of the same length |
///
/// # Examples
/// ```no_run
/// # let redis = uptick_redis::Redis::connect("redis://127.0.0.1")?;
/// # uptick_event_loop::spawn(async move {
/// let (a, b): (Option<String>, i64) = redis.command(["MGET", "a", "b"]).await?;
/// # Ok::<_, uptick_redis::Error>((a, b))
/// # });
/// # Ok::<(), uptick_redis::Error>(())
/// ```
pub trait FromValue: Sized {
    /// Converts a value.
    ///
    /// # Errors
    /// [`Error::Conversion`] if the value has another type, and [`Error::Reply`] if it is an error.
    fn from_value(value: Value) -> Result<Self, Error>;
}

fn mismatch<T>(expected: &'static str, value: &Value) -> Result<T, Error> {
    match value {
        Value::Error(error) => Err(Error::reply(error)),
        value => Err(Error::conversion(expected, value.type_name())),
    }
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, Error> {
        Ok(value)
    }
}

impl FromValue for () {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Error(error) => Err(Error::reply(&error)),
            _ => Ok(()),
        }
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Bulk(bytes) | Value::Simple(bytes) | Value::BigNumber(bytes) => Ok(bytes),
            Value::Verbatim { text, .. } => Ok(text),
            Value::Integer(number) => Ok(number.to_string().into()),
            Value::Double(number) => Ok(number.to_string().into()),
            value => mismatch("a string", &value),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, Error> {
        let bytes = Bytes::from_value(value)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Error::conversion("UTF-8", "a string of other bytes")),
        }
    }
}

fn text_of(value: &Value) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()?).ok()
}

macro_rules! integers {
    ($($type:ty),+) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, Error> {
                let number = match &value {
                    Value::Integer(number) => (*number).try_into().ok(),
                    value => text_of(value).and_then(|text| text.parse().ok()),
                };
                match number {
                    Some(number) => Ok(number),
                    None => mismatch(concat!("an integer of the type ", stringify!($type)), &value),
                }
            }
        }
    )+};
}

integers!(i16, i32, i64, isize, u16, u32, u64, usize);

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self, Error> {
        let number = match &value {
            Value::Double(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            value => text_of(value).and_then(|text| text.parse().ok()),
        };
        match number {
            Some(number) => Ok(number),
            None => mismatch("a number", &value),
        }
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, Error> {
        match &value {
            Value::Boolean(flag) => Ok(*flag),
            Value::Integer(1) => Ok(true),
            Value::Integer(0) | Value::Null => Ok(false),
            Value::Simple(text) if text == "OK" => Ok(true),
            value => match text_of(value) {
                Some("1") => Ok(true),
                Some("0") => Ok(false),
                _ => mismatch("a boolean", value),
            },
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, Error> {
        match value {
            Value::Array(elements) | Value::Set(elements) | Value::Push(elements) => {
                elements.into_iter().map(T::from_value).collect()
            }
            Value::Map(pairs) => {
                let pairs = pairs.into_iter();
                let pairs = pairs.map(|(key, value)| Value::Array(vec![key, value]));
                pairs.map(T::from_value).collect()
            }
            value => mismatch("an array", &value),
        }
    }
}

/// Returns the pairs of a map, or of an array of keys and values in turn.
fn pairs<K: FromValue, V: FromValue, M: Default + Extend<(K, V)>>(
    value: Value,
) -> Result<M, Error> {
    let mut map = M::default();
    let mut add = |key, value| {
        map.extend([(K::from_value(key)?, V::from_value(value)?)]);
        Ok::<_, Error>(())
    };
    match value {
        Value::Map(pairs) => {
            for (key, value) in pairs {
                add(key, value)?;
            }
        }
        Value::Array(elements) if elements.len() % 2 == 0 => {
            let mut elements = elements.into_iter();
            while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                add(key, value)?;
            }
        }
        value => return mismatch("a map", &value),
    }
    Ok(map)
}

impl<K: FromValue + Eq + Hash, V: FromValue> FromValue for HashMap<K, V> {
    fn from_value(value: Value) -> Result<Self, Error> {
        pairs(value)
    }
}

impl<K: FromValue + Ord, V: FromValue> FromValue for BTreeMap<K, V> {
    fn from_value(value: Value) -> Result<Self, Error> {
        pairs(value)
    }
}

macro_rules! tuples {
    ($count:literal $($name:ident)+) => {
        impl<$($name: FromValue),+> FromValue for ($($name,)+) {
            fn from_value(value: Value) -> Result<Self, Error> {
                let elements = match value {
                    Value::Array(elements) | Value::Push(elements) => elements,
                    value => return mismatch("an array", &value),
                };
                if elements.len() != $count {
                    let received = format!("an array of {}", elements.len());
                    return Err(Error::conversion(concat!("an array of ", $count), received));
                }
                let mut elements = elements.into_iter();
                Ok(($($name::from_value(elements.next().unwrap_or_default())?,)+))
            }
        }
    };
}

tuples!(1 A);
tuples!(2 A B);
tuples!(3 A B C);
tuples!(4 A B C D);
tuples!(5 A B C D E);
tuples!(6 A B C D E F);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ServerError;

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn numbers_and_strings_are_converted() {
        assert_eq!(String::from_value(Value::Integer(5)).unwrap(), "5");
        assert_eq!(i64::from_value(bulk("-5")).unwrap(), -5);
        assert_eq!(
            u16::from_value(Value::Integer(70_000))
                .unwrap_err()
                .to_string(),
            "converting a reply failed: expected an integer of the type u16, received an integer (EINVAL)"
        );
        assert_eq!(f64::from_value(bulk("1.5")).unwrap(), 1.5);
        assert!(String::from_value(Value::Bulk(Bytes::from_static(b"\xff"))).is_err());
        assert!(bool::from_value(Value::Simple("OK".into())).unwrap());
        assert!(!bool::from_value(Value::Null).unwrap());
    }

    #[test]
    fn null_is_only_an_option() {
        assert_eq!(Option::<String>::from_value(Value::Null).unwrap(), None);
        assert!(String::from_value(Value::Null).is_err());
    }

    #[test]
    fn maps_of_both_protocols_are_converted() {
        let expected = HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        let resp3 = Value::Map(vec![(bulk("a"), bulk("1")), (bulk("b"), Value::Integer(2))]);
        let resp2 = Value::Array(vec![bulk("a"), bulk("1"), bulk("b"), bulk("2")]);
        assert_eq!(HashMap::from_value(resp3.clone()).unwrap(), expected);
        assert_eq!(HashMap::from_value(resp2).unwrap(), expected);
        let pairs: Vec<(String, i64)> = Vec::from_value(resp3).unwrap();
        assert_eq!(pairs, [("a".into(), 1), ("b".into(), 2)]);
    }

    #[test]
    fn tuples_need_an_array_of_their_length() {
        let array = Value::Array(vec![bulk("a"), Value::Null]);
        let (text, none): (String, Option<i64>) = FromValue::from_value(array.clone()).unwrap();
        assert_eq!((&*text, none), ("a", None));
        let error = <(String, Option<i64>, i64)>::from_value(array).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected an array of 3, received an array of 2"),
            "{error}"
        );
    }

    #[test]
    fn an_error_inside_a_reply_is_an_error() {
        let value = Value::Array(vec![Value::Error(ServerError::new("WRONGTYPE no"))]);
        let error = Vec::<i64>::from_value(value).unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"));
    }
}
