//! A `serde` deserializer for names and values, such as a query.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserializer, EnumAccess, IntoDeserializer, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Maximum number of names.
const MAX_PAIRS: usize = 1_000;

/// The error for names and values that cannot be decoded as a type.
#[derive(Debug)]
pub(crate) struct Error {
    reason: Box<str>,
    /// The name of the value, if a single value was expected.
    name: Option<Box<str>>,
}

impl Error {
    /// Returns the name of the value, if a single value was expected.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Error {
            reason: message.to_string().into(),
            name: None,
        }
    }
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Names and values in the order of the request.
pub(crate) struct Pairs<'a>(Vec<Pair<'a>>);

impl<'a> Pairs<'a> {
    /// Collects names and values; fails if there are more than 1,000.
    pub(crate) fn collect(pairs: impl Iterator<Item = Pair<'a>>) -> Result<Self, Error> {
        let pairs: Vec<_> = pairs.take(MAX_PAIRS + 1).collect();
        if pairs.len() > MAX_PAIRS {
            let error = format!("it has more than {MAX_PAIRS} names");
            return Err(de::Error::custom(error));
        }
        Ok(Pairs(pairs))
    }

    /// Returns the name of the pair at an index.
    pub(super) fn name(&self, index: usize) -> Option<&str> {
        Some(&self.0.get(index)?.0)
    }
}

/// A deserializer of names and values: to a struct or a map, a tuple of the values, a sequence of pairs, or a single value.
pub(crate) struct PairsDeserializer<'p> {
    pairs: &'p [Pair<'p>],
}

impl<'p> PairsDeserializer<'p> {
    pub(crate) fn new(pairs: &'p Pairs<'p>) -> Self {
        PairsDeserializer { pairs: &pairs.0 }
    }

    /// Returns the names, each with its values.
    fn grouped(&self) -> impl Iterator<Item = (NameDeserializer<'p>, ValuesDeserializer<'p>)> {
        let mut sorted: Vec<&Pair<'_>> = self.pairs.iter().collect();
        // The sort is stable, so that the values of a name keep their order.
        sorted.sort_by(|one, other| one.0.cmp(&other.0));
        let groups: Vec<_> = sorted
            .chunk_by(|one, other| one.0 == other.0)
            .filter_map(|group| {
                let values = group.iter().map(|(_, value)| &**value).collect();
                Some((
                    NameDeserializer(&group.first()?.0),
                    ValuesDeserializer(values),
                ))
            })
            .collect();
        groups.into_iter()
    }

    /// Decodes the only value. An error contains its name.
    fn single<T>(
        &self,
        decode: impl FnOnce(ValuesDeserializer<'p>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.pairs {
            [(name, value)] => decode(ValuesDeserializer(vec![&**value])).map_err(|error| Error {
                name: Some((**name).into()),
                ..error
            }),
            pairs => {
                let count = pairs.len();
                let error = format_args!("expected one value, found {count}");
                Err(de::Error::custom(error))
            }
        }
    }
}

/// Implements methods that decode the only value.
macro_rules! forward_to_single {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.single(|value| value.$name(visitor))
        }
    )*};
}

impl<'de, 'p> Deserializer<'de> for PairsDeserializer<'p> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(MapDeserializer::new(self.grouped()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let pairs = self.pairs.iter();
        MapDeserializer::new(
            pairs.map(|(name, value)| (NameDeserializer(name), ValuesDeserializer(vec![&**value]))),
        )
        .deserialize_seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let found = self.pairs.len();
        if found != length {
            let error = format_args!("expected {length} values, found {found}");
            return Err(de::Error::custom(error));
        }
        let values = self
            .pairs
            .iter()
            .map(|(_, value)| ValuesDeserializer(vec![&**value]));
        visitor.visit_seq(SeqDeserializer::new(values))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.pairs {
            [] => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.single(|value| value.deserialize_enum(name, variants, visitor))
    }

    forward_to_single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier
    }
}

/// A deserializer of a name.
struct NameDeserializer<'p>(&'p str);

impl<'de> IntoDeserializer<'de, Error> for NameDeserializer<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for NameDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
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
        visitor.visit_enum(Variant(self.0))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A deserializer of the values of a name, of which there is at least one.
struct ValuesDeserializer<'p>(Vec<&'p str>);

impl<'p> ValuesDeserializer<'p> {
    /// Returns the value, if it is the only one.
    fn single(&self) -> Result<&'p str, Error> {
        match &self.0[..] {
            [value] => Ok(value),
            values => {
                let count = values.len();
                let error = format_args!("expected one value, found {count}");
                Err(de::Error::custom(error))
            }
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for ValuesDeserializer<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Implements methods that decode a value by [`str::parse`].
macro_rules! parse {
    ($($name:ident $visit:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let text = self.single()?;
            match text.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(text), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for ValuesDeserializer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0[..] {
            [value] => visitor.visit_str(value),
            _ => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.single()? {
            "true" | "1" | "on" => visitor.visit_bool(true),
            "false" | "0" | "off" => visitor.visit_bool(false),
            text => Err(de::Error::invalid_value(Unexpected::Str(text), &visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.single()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(self.single()?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0[..] {
            [""] => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let values = self
            .0
            .into_iter()
            .map(|value| ValuesDeserializer(vec![value]));
        visitor.visit_seq(SeqDeserializer::new(values))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let found = self.0.len();
        if found != length {
            let error = format_args!("expected {length} values, found {found}");
            return Err(de::Error::custom(error));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(Variant(self.single()?))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.single()? {
            "" => visitor.visit_unit(),
            text => Err(de::Error::invalid_value(Unexpected::Str(text), &visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    parse! {
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    forward_to_deserialize_any! {
        map struct identifier
    }
}

/// The name of an enum variant without content.
struct Variant<'p>(&'p str);

impl<'de, 'p> EnumAccess<'de> for Variant<'p> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let value = seed.deserialize(NameDeserializer(self.0))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(self.unexpected("newtype variant"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(self.unexpected("tuple variant"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(self.unexpected("struct variant"))
    }
}

impl Variant<'_> {
    fn unexpected(&self, expected: &str) -> Error {
        de::Error::invalid_type(Unexpected::Str(self.0), &expected)
    }
}
