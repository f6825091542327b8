//! Arguments of events and acknowledgements as Rust values.

use serde::de::{Deserializer, Visitor};
use serde::ser::{Impossible, Serializer};
use serde::{Serialize, de::DeserializeOwned};

use crate::protocol::packet::{Arguments, EncodeError, Encoder};

/// A type into which the arguments of an event or an acknowledgement can be parsed.
///
/// Implemented for all types that `serde` can deserialize. A tuple (or a tuple struct, or an array of fixed size) takes one argument for each of its elements
/// and ignores the others, `()` ignores all arguments, and every other type takes the first argument. [`Arguments`] takes all of them, unparsed.
///
/// | client | type |
/// |---|---|
/// | `emit("a")` | `()` |
/// | `emit("a", "text")` | `String` |
/// | `emit("a", 1, { b: 2 })` | `(i64, MyStruct)` |
/// | `emit("a", [1, 2])` | `Vec<i64>` |
/// | `emit("a", new Uint8Array(3))` | [`bytes::Bytes`] |
#[diagnostic::on_unimplemented(
    message = "arguments of an event cannot be parsed as `{Self}`",
    note = "derive `serde::Deserialize` for it, without borrowed fields"
)]
pub trait FromArguments: Sized {
    /// Parses the arguments.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if an argument is missing or cannot be parsed as its type.
    fn from_arguments(arguments: &Arguments) -> Result<Self, serde_json::Error>;
}

impl<T: DeserializeOwned> FromArguments for T {
    fn from_arguments(arguments: &Arguments) -> Result<T, serde_json::Error> {
        match T::deserialize(DeserializeProbe) {
            Err(ArgumentShape::Tuple) => arguments.parse_all(),
            Ok(value) => Ok(value),
            Err(ArgumentShape::Single) => arguments.parse(0),
        }
    }
}

impl FromArguments for Arguments {
    fn from_arguments(arguments: &Arguments) -> Result<Arguments, serde_json::Error> {
        Ok(arguments.clone())
    }
}

/// A value that can be sent as the arguments of an event or an acknowledgement.
///
/// Implemented for all types that `serde` can serialize. A tuple (or a tuple struct, or an array of fixed size) is sent as one argument for each of its elements,
/// `()` as no argument, and every other value as one argument. [`Arguments`] are sent unchanged.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as the arguments of an event",
    note = "derive `serde::Serialize` for it"
)]
pub trait ToArguments {
    /// Appends the arguments to a packet.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if a value cannot be serialized.
    fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError>;
}

impl<T: Serialize + ?Sized> ToArguments for T {
    fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        match self.serialize(SerializeProbe) {
            Err(ArgumentShape::Tuple) => Ok(self.serialize(TupleElements(encoder))?),
            Ok(()) => Ok(()),
            Err(ArgumentShape::Single) => encoder.argument(self),
        }
    }
}

impl ToArguments for Arguments {
    fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.arguments(self)
    }
}

/// The shape of a type, detected from its first `serde` call. A probe that succeeds has found `()`.
#[derive(Debug)]
enum ArgumentShape {
    Tuple,
    Single,
}

impl std::fmt::Display for ArgumentShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for ArgumentShape {}

impl serde::de::Error for ArgumentShape {
    fn custom<T: std::fmt::Display>(_: T) -> ArgumentShape {
        ArgumentShape::Single
    }
}

impl serde::ser::Error for ArgumentShape {
    fn custom<T: std::fmt::Display>(_: T) -> ArgumentShape {
        ArgumentShape::Single
    }
}

struct DeserializeProbe;

impl<'de> Deserializer<'de> for DeserializeProbe {
    type Error = ArgumentShape;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ArgumentShape> {
        Err(ArgumentShape::Single)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentShape> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ArgumentShape> {
        Err(ArgumentShape::Tuple)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, ArgumentShape> {
        Err(ArgumentShape::Tuple)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct newtype_struct seq map struct enum identifier
        ignored_any
    }
}

/// Implements methods of a serializer, all with the same result.
macro_rules! serializer_methods {
    ($result:expr; $($method:ident($($type:ty),*) $(<$generic:ident>)? -> $ok:ty;)*) => {$(
        fn $method $(<$generic: Serialize + ?Sized>)? (self, $(_: $type),*) -> Result<$ok, Self::Error> {
            $result
        }
    )*};
}

/// Implements the methods of a serializer for values that are neither tuples nor `()`, all with the same result.
macro_rules! non_tuple_methods {
    ($result:expr) => {
        serializer_methods! { $result;
            serialize_bool(bool) -> (); serialize_i8(i8) -> (); serialize_i16(i16) -> (); serialize_i32(i32) -> (); serialize_i64(i64) -> ();
            serialize_u8(u8) -> (); serialize_u16(u16) -> (); serialize_u32(u32) -> (); serialize_u64(u64) -> (); serialize_f32(f32) -> ();
            serialize_i128(i128) -> (); serialize_u128(u128) -> ();
            serialize_f64(f64) -> (); serialize_char(char) -> (); serialize_str(&str) -> (); serialize_bytes(&[u8]) -> (); serialize_none() -> ();
            serialize_some(&T) <T> -> (); serialize_unit_struct(&'static str) -> ();
            serialize_unit_variant(&'static str, u32, &'static str) -> (); serialize_newtype_struct(&'static str, &T) <T> -> ();
            serialize_newtype_variant(&'static str, u32, &'static str, &T) <T> -> ();
            serialize_seq(Option<usize>) -> Impossible<(), Self::Error>; serialize_map(Option<usize>) -> Impossible<(), Self::Error>;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Self::Error>;
            serialize_struct(&'static str, usize) -> Impossible<(), Self::Error>;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Self::Error>;
        }
    };
}

struct SerializeProbe;

impl Serializer for SerializeProbe {
    type Ok = ();
    type Error = ArgumentShape;
    type SerializeSeq = Impossible<(), ArgumentShape>;
    type SerializeTuple = Impossible<(), ArgumentShape>;
    type SerializeTupleStruct = Impossible<(), ArgumentShape>;
    type SerializeTupleVariant = Impossible<(), ArgumentShape>;
    type SerializeMap = Impossible<(), ArgumentShape>;
    type SerializeStruct = Impossible<(), ArgumentShape>;
    type SerializeStructVariant = Impossible<(), ArgumentShape>;

    non_tuple_methods!(Err(ArgumentShape::Single));

    fn serialize_unit(self) -> Result<(), ArgumentShape> {
        Ok(())
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), ArgumentShape>, ArgumentShape> {
        Err(ArgumentShape::Tuple)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), ArgumentShape>, ArgumentShape> {
        Err(ArgumentShape::Tuple)
    }
}

/// Serializer that appends each element of a tuple as an argument.
struct TupleElements<'a>(&'a mut Encoder);

/// Returns the error for a value that is first serialized as a tuple, and then as another type.
fn inconsistent<T>() -> Result<T, serde_json::Error> {
    Err(serde::ser::Error::custom(
        "the value was first serialized as a tuple, and then as another type",
    ))
}

impl<'a> Serializer for TupleElements<'a> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Impossible<(), serde_json::Error>;
    type SerializeTuple = TupleElements<'a>;
    type SerializeTupleStruct = TupleElements<'a>;
    type SerializeTupleVariant = Impossible<(), serde_json::Error>;
    type SerializeMap = Impossible<(), serde_json::Error>;
    type SerializeStruct = Impossible<(), serde_json::Error>;
    type SerializeStructVariant = Impossible<(), serde_json::Error>;

    non_tuple_methods!(inconsistent());

    fn serialize_unit(self) -> Result<(), serde_json::Error> {
        inconsistent()
    }

    fn serialize_tuple(self, _: usize) -> Result<TupleElements<'a>, serde_json::Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<TupleElements<'a>, serde_json::Error> {
        Ok(self)
    }
}

impl TupleElements<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), serde_json::Error> {
        self.0.argument(value).map_err(|error| match error {
            EncodeError::Json(error) => error,
            other => serde::ser::Error::custom(other),
        })
    }
}

impl serde::ser::SerializeTuple for TupleElements<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_element<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), serde_json::Error> {
        Ok(())
    }
}

impl serde::ser::SerializeTupleStruct for TupleElements<'_> {
    type Ok = ();
    type Error = serde_json::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), serde_json::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde::Deserialize;

    use super::*;
    use crate::protocol::packet::{Body, Decoder, Limits};

    fn encoded<A: ToArguments + ?Sized>(arguments: &A) -> String {
        let mut encoder = Encoder::event("/", None, "e").unwrap();
        arguments.encode(&mut encoder).unwrap();
        let frame = encoder.finish().unwrap().frames().next().unwrap();
        String::from_utf8(frame.into_bytes().to_vec()).unwrap()
    }

    fn arguments(text: &'static str) -> Arguments {
        let packet = Decoder::new().push(text.into(), &Limits::default());
        match packet.unwrap().unwrap().body {
            Body::Event { arguments, .. } => arguments,
            _ => panic!(),
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct User {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u8, User);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(u8);

    fn user() -> User {
        User { name: "Ada".into() }
    }

    #[test]
    fn tuples_are_several_arguments_and_other_types_are_one() {
        assert_eq!(encoded(&()), r#"42["e"]"#);
        assert_eq!(encoded("text"), r#"42["e","text"]"#);
        assert_eq!(encoded(&vec![1, 2]), r#"42["e",[1,2]]"#);
        assert_eq!(
            encoded(&(1, "b", user())),
            r#"42["e",1,"b",{"name":"Ada"}]"#
        );
        assert_eq!(encoded(&((1, 2),)), r#"42["e",[1,2]]"#);
        assert_eq!(encoded(&Pair(1, user())), r#"42["e",1,{"name":"Ada"}]"#);
        assert_eq!(encoded(&Wrapped(1)), r#"42["e",1]"#);
        assert_eq!(encoded(&user()), r#"42["e",{"name":"Ada"}]"#);
        assert_eq!(encoded(&None::<u8>), r#"42["e",null]"#);
        assert_eq!(encoded(&arguments(r#"2["x",1,[2]]"#)), r#"42["e",1,[2]]"#);
        assert_eq!(
            encoded(&(Bytes::from_static(b"a"), 1)),
            r#"451-["e",{"_placeholder":true,"num":0},1]"#
        );
    }

    #[test]
    fn arguments_are_parsed_by_the_shape_of_the_type() {
        let all = arguments(r#"2["x",1,{"name":"Ada"}]"#);
        assert_eq!(<(u8, User)>::from_arguments(&all).unwrap(), (1, user()));
        assert_eq!(Pair::from_arguments(&all).unwrap(), Pair(1, user()));
        assert_eq!(Wrapped::from_arguments(&all).unwrap(), Wrapped(1));
        assert_eq!(u8::from_arguments(&all).unwrap(), 1);
        assert_eq!(Arguments::from_arguments(&all).unwrap(), all);
        <()>::from_arguments(&all).unwrap();
        assert!(String::from_arguments(&all).is_err());
        let list = arguments(r#"2["x",[1,2]]"#);
        assert_eq!(Vec::<u8>::from_arguments(&list).unwrap(), [1, 2]);
        let none = arguments(r#"2["x"]"#);
        assert_eq!(Option::<u8>::from_arguments(&none).unwrap(), None);
        assert!(u8::from_arguments(&none).is_err());
        assert!(<(u8,)>::from_arguments(&none).is_err());
    }
}
