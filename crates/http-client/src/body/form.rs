//! URL-encoded names and values from types of `serde`.

use std::fmt::{self, Display, Formatter};

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::error::{Error, ErrorKind};
use crate::url::push_component;

/// Encodes a struct, a map or a sequence of pairs as `name=value&name=value`.
pub(crate) fn encode_pairs<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let mut encoder = FormEncoder::default();
    match value.serialize(&mut encoder) {
        Ok(()) => Ok(encoder.text),
        Err(EncodeError(cause)) => {
            let reason = format!("encoding the names and values of a form failed: {cause}");
            Err(Error::new(ErrorKind::InvalidRequest, reason))
        }
    }
}

#[derive(Debug)]
struct EncodeError(String);

impl Display for EncodeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    fn custom<T: Display>(message: T) -> EncodeError {
        EncodeError(message.to_string())
    }
}

fn not_pairs<T>() -> Result<T, EncodeError> {
    Err(EncodeError(
        "it is not a struct, a map or a sequence of pairs".to_owned(),
    ))
}

/// Serializer of a whole form.
#[derive(Default)]
struct FormEncoder {
    text: String,
    /// The name of the next value.
    name: Option<String>,
    /// Number of elements of a pair so far.
    elements: usize,
}

impl FormEncoder {
    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), EncodeError> {
        value.serialize(ValueEncoder {
            name,
            text: &mut self.text,
            depth: 0,
        })
    }
}

macro_rules! refuse {
    ($error:expr; $($method:ident($type:ty)),*) => {
        $(fn $method(self, _: $type) -> Result<Self::Ok, EncodeError> { $error })*
    };
}

macro_rules! refuse_variants {
    ($error:expr) => {
        type SerializeTupleStruct = Impossible<(), EncodeError>;
        type SerializeTupleVariant = Impossible<(), EncodeError>;
        type SerializeStructVariant = Impossible<(), EncodeError>;

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<(), EncodeError> {
            $error
        }

        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, EncodeError> {
            $error
        }

        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, EncodeError> {
            $error
        }

        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, EncodeError> {
            $error
        }
    };
}

impl Serializer for &mut FormEncoder {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;

    refuse_variants!(not_pairs());
    refuse!(not_pairs(); serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_u8(u8),
        serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32), serialize_f64(f64), serialize_char(char),
        serialize_str(&str), serialize_bytes(&[u8]));

    fn serialize_none(self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), EncodeError> {
        not_pairs()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, EncodeError> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, EncodeError> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, EncodeError> {
        Ok(self)
    }
}

impl ser::SerializeSeq for &mut FormEncoder {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, pair: &T) -> Result<(), EncodeError> {
        pair.serialize(PairEncoder(self))
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// Arrays of pairs are tuples for `serde`.
impl ser::SerializeTuple for &mut FormEncoder {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, pair: &T) -> Result<(), EncodeError> {
        pair.serialize(PairEncoder(self))
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl ser::SerializeMap for &mut FormEncoder {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        self.name = Some(name_of(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let name = self.name.take().unwrap_or_default();
        self.add(&name, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl ser::SerializeStruct for &mut FormEncoder {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.add(name, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// Serializer of one pair in a sequence.
struct PairEncoder<'a>(&'a mut FormEncoder);

impl Serializer for PairEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStruct = Impossible<(), EncodeError>;

    refuse_variants!(not_pairs());
    refuse!(not_pairs(); serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64), serialize_u8(u8),
        serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32), serialize_f64(f64), serialize_char(char),
        serialize_str(&str), serialize_bytes(&[u8]), serialize_unit_struct(&'static str));

    fn serialize_none(self) -> Result<(), EncodeError> {
        not_pairs()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        not_pairs()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<(), EncodeError> {
        not_pairs()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, EncodeError> {
        self.0.elements = 0;
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        self.0.elements = 0;
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        not_pairs()
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, EncodeError> {
        not_pairs()
    }
}

impl PairEncoder<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), EncodeError> {
        self.0.elements += 1;
        match (self.0.elements, self.0.name.take()) {
            (1, _) => self.0.name = Some(name_of(element)?),
            (2, Some(name)) => self.0.add(&name, element)?,
            _ => return not_pairs(),
        }
        Ok(())
    }

    fn finish(self) -> Result<(), EncodeError> {
        match self.0.elements {
            2 => Ok(()),
            _ => not_pairs(),
        }
    }
}

impl ser::SerializeTuple for PairEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), EncodeError> {
        self.element(element)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

impl ser::SerializeSeq for PairEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), EncodeError> {
        self.element(element)
    }

    fn end(self) -> Result<(), EncodeError> {
        self.finish()
    }
}

/// Returns a name, which is encoded like a value.
fn name_of<T: Serialize + ?Sized>(name: &T) -> Result<String, EncodeError> {
    let mut text = String::new();
    name.serialize(ValueEncoder {
        name: "",
        text: &mut text,
        depth: 1,
    })?;
    match text.strip_prefix('=') {
        Some(encoded) => Ok(percent_encoding::percent_decode_str(encoded)
            .decode_utf8_lossy()
            .into_owned()),
        None => Err(EncodeError(
            "a name is neither a string nor a number".to_owned(),
        )),
    }
}

/// Serializer of one value, or of a sequence of values with the same name.
struct ValueEncoder<'a> {
    name: &'a str,
    text: &'a mut String,
    depth: usize,
}

impl ValueEncoder<'_> {
    fn push(self, value: &str) -> Result<(), EncodeError> {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        push_component(self.text, self.name);
        self.text.push('=');
        push_component(self.text, value);
        Ok(())
    }

    fn nested<T>(&self) -> Result<T, EncodeError> {
        Err(EncodeError(format!(
            "the value of {:?} is nested",
            self.name
        )))
    }
}

macro_rules! push_displayed {
    ($($method:ident($type:ty)),*) => {
        $(fn $method(self, value: $type) -> Result<(), EncodeError> { self.push(&value.to_string()) })*
    };
}

impl Serializer for ValueEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeMap = Impossible<(), EncodeError>;
    type SerializeStruct = Impossible<(), EncodeError>;

    refuse_variants!(Err(EncodeError("a value is nested".to_owned())));
    push_displayed!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char)
    );

    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.push(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        match std::str::from_utf8(value) {
            Ok(value) => self.push(value),
            Err(_) => Err(EncodeError(format!(
                "the value of {:?} is not UTF-8",
                self.name
            ))),
        }
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.push("")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), EncodeError> {
        self.push(name)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), EncodeError> {
        self.push(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, EncodeError> {
        match self.depth {
            0 => Ok(ValueEncoder { depth: 1, ..self }),
            _ => self.nested(),
        }
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        self.serialize_seq(None)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, EncodeError> {
        self.nested()
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, EncodeError> {
        self.nested()
    }
}

impl ser::SerializeSeq for ValueEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(ValueEncoder {
            name: self.name,
            text: self.text,
            depth: self.depth,
        })
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl ser::SerializeTuple for ValueEncoder<'_> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
