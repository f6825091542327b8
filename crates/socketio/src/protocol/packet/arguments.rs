//! Arguments of events and acknowledgements, which are parsed on demand.

use std::ops::Range;

use bytes::Bytes;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, SeqAccess};
use serde_json::Error;
use uptick_websocket::Text;

use crate::protocol::Value;
use crate::protocol::json::ElementRanges;

/// The data of a packet that is not an event: JSON text that is parsed on demand, or a value.
#[derive(Clone, Debug)]
pub enum Data {
    /// Valid JSON text of bounded depth.
    Json(Text),
    /// A value.
    Value(Value),
}

impl Data {
    /// Parses the data.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if the data does not fit the type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Data::Json(text) => serde_json::from_slice(text.as_bytes()),
            Data::Value(value) => T::deserialize(value.clone()),
        }
    }
}

/// Compares the parsed values, regardless of their representation.
impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        match (self, other) {
            (Data::Json(own), Data::Json(others)) if own == others => true,
            _ => match (self.parse::<Value>(), other.parse::<Value>()) {
                (Ok(own), Ok(others)) => own == others,
                _ => false,
            },
        }
    }
}

/// Arguments of an event or an acknowledgement.
///
/// They are stored as valid JSON text of bounded depth, or as values that may contain binary data. A clone shares text and bytes.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::packet::{Body, Decoder, Limits};
///
/// let packet = Decoder::new().push(r#"2["sum",1,{"b":2}]"#.into(), &Limits::default())?;
/// let Some(Body::Event { name, arguments }) = packet.map(|packet| packet.body) else {
///     panic!("no event");
/// };
/// assert_eq!(name, Some("sum".into()));
/// assert_eq!(arguments.json(1), Some(r#"{"b":2}"#.into()));
/// assert_eq!(arguments.parse::<i64>(0)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Arguments(Repr);

#[derive(Clone, Debug)]
enum Repr {
    /// The text of an array, and the ranges of its elements.
    Json { text: Text, elements: ElementRanges },
    /// Values, from a packet with attachments or a MessagePack packet.
    Values(Vec<Value>),
}

impl Default for Repr {
    fn default() -> Repr {
        Repr::Values(Vec::new())
    }
}

impl Arguments {
    pub(crate) fn of_json(text: Text, elements: ElementRanges) -> Arguments {
        Arguments(Repr::Json { text, elements })
    }

    /// Creates arguments from values.
    pub fn of_values(values: Vec<Value>) -> Arguments {
        Arguments(Repr::Values(values))
    }

    /// Returns the number of arguments.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Json { elements, .. } => elements.len(),
            Repr::Values(values) => values.len(),
        }
    }

    /// Returns `true` if there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Parses one argument. A missing argument is parsed as `null`.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if the argument does not fit the type.
    pub fn parse<T: DeserializeOwned>(&self, index: usize) -> Result<T, Error> {
        match &self.0 {
            Repr::Json { text, elements } => match elements.get(index) {
                Some(range) => serde_json::from_slice(&text.as_bytes()[range.clone()]),
                None => T::deserialize(Value::Null),
            },
            Repr::Values(values) => T::deserialize(values.get(index).cloned().unwrap_or_default()),
        }
    }

    /// Parses all arguments as a sequence: a tuple, a tuple struct or a list.
    ///
    /// A tuple may have fewer elements than there are arguments; the others are ignored, as in JavaScript.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if an argument is missing or does not fit its type.
    pub fn parse_all<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(SeqAccessDeserializer::new(Sequence {
            arguments: self,
            index: 0,
        }))
    }

    /// Returns the bytes of a binary argument, without copying them.
    pub fn binary(&self, index: usize) -> Option<Bytes> {
        match &self.0 {
            Repr::Values(values) => match values.get(index)? {
                Value::Binary(bytes) => Some(bytes.clone()),
                _ => None,
            },
            Repr::Json { .. } => None,
        }
    }

    /// Returns the JSON text of an argument; `None` if there is no such argument, or if it was not received as JSON.
    pub fn json(&self, index: usize) -> Option<Text> {
        match &self.0 {
            Repr::Json { text, elements } => Some(text.slice(elements.get(index)?.clone())),
            Repr::Values(_) => None,
        }
    }

    /// Removes and returns the JSON text of the first argument.
    pub(crate) fn take_first(&mut self) -> Option<Range<usize>> {
        match &mut self.0 {
            Repr::Json { elements, .. } if !elements.is_empty() => Some(elements.remove(0)),
            _ => None,
        }
    }

    /// Returns all arguments as values.
    ///
    /// # Errors
    ///
    /// Returns the error of `serde_json` if a number is too large.
    pub fn to_values(&self) -> Result<Vec<Value>, Error> {
        match &self.0 {
            Repr::Json { .. } => (0..self.len()).map(|index| self.parse(index)).collect(),
            Repr::Values(values) => Ok(values.clone()),
        }
    }

    /// Replaces the placeholders in the arguments with attachments. Returns `None` if that is not possible.
    pub(crate) fn reconstruct(&self, attachments: &[Bytes]) -> Option<Arguments> {
        let mut values = self.to_values().ok()?;
        let complete = values
            .iter_mut()
            .all(|value| value.reconstruct(attachments));
        complete.then(|| Arguments::of_values(values))
    }
}

/// Compares the values, regardless of their representation.
impl PartialEq for Arguments {
    fn eq(&self, other: &Arguments) -> bool {
        self.len() == other.len()
            && match (self.to_values(), other.to_values()) {
                (Ok(own), Ok(others)) => own == others,
                _ => (0..self.len()).all(|index| self.json(index) == other.json(index)),
            }
    }
}

/// `serde` access to all arguments in sequence.
struct Sequence<'a> {
    arguments: &'a Arguments,
    index: usize,
}

impl<'de> SeqAccess<'de> for Sequence<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let index = self.index;
        self.index += 1;
        match &self.arguments.0 {
            Repr::Json { text, elements } => {
                let Some(range) = elements.get(index) else {
                    return Ok(None);
                };
                // Reads from a reader instead of a slice, because values must not borrow from the text.
                let mut deserializer =
                    serde_json::Deserializer::from_reader(&text.as_bytes()[range.clone()]);
                seed.deserialize(&mut deserializer).map(Some)
            }
            Repr::Values(values) => values
                .get(index)
                .cloned()
                .map(|value| seed.deserialize(value))
                .transpose(),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.arguments.len().saturating_sub(self.index))
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::json::scan;

    use super::*;

    fn arguments(json: &'static str) -> Arguments {
        Arguments::of_json(json.into(), scan(json.as_bytes(), 10).unwrap().elements)
    }

    #[test]
    fn a_tuple_takes_as_many_arguments_as_it_has_elements() {
        let arguments = arguments(r#"[1,"a",[2,3]]"#);
        assert_eq!(
            arguments.parse_all::<(u8, String)>().unwrap(),
            (1, "a".to_owned())
        );
        assert_eq!(
            arguments.parse_all::<(u8, String, (u8, u8))>().unwrap(),
            (1, "a".to_owned(), (2, 3))
        );
        assert!(arguments.parse_all::<(u8, u8)>().is_err());
        assert!(arguments.parse_all::<(u8, String, (u8, u8), u8)>().is_err());
        let values = Arguments::of_values(arguments.to_values().unwrap());
        assert_eq!(values, arguments);
        assert_eq!(
            values.parse_all::<(u8, String)>().unwrap(),
            (1, "a".to_owned())
        );
    }

    #[test]
    fn a_missing_argument_is_null() {
        assert_eq!(arguments("[]").parse::<Option<u8>>(0).unwrap(), None);
        assert!(arguments("[]").parse::<u8>(0).is_err());
    }

    #[test]
    fn bytes_of_an_argument_are_shared() {
        let bytes = Bytes::from_static(&[1, 2]);
        let json =
            arguments(r#"[{"_placeholder":true,"num":0},{"a":[{"num":0.0,"_placeholder":true}]}]"#);
        let arguments = json.reconstruct(std::slice::from_ref(&bytes)).unwrap();
        assert_eq!(arguments.binary(0).unwrap().as_ptr(), bytes.as_ptr());
        assert_eq!(arguments.binary(1), None);
        assert_eq!(arguments.parse_all::<(Bytes,)>().unwrap().0, bytes);
        assert_eq!(
            arguments.parse::<Value>(1).unwrap().get("a").unwrap().at(0),
            Some(&Value::Binary(bytes))
        );
    }

    #[test]
    fn placeholders_without_an_attachment_are_refused() {
        let attachment = [Bytes::new()];
        for num in [
            r#""num":1"#,
            r#""num":-1"#,
            r#""num":0.5"#,
            r#""num":"0""#,
            r#""num":1e300"#,
            r#""x":0"#,
        ] {
            let json = format!(r#"[[{{"_placeholder":true,{num}}}]]"#);
            let elements = scan(json.as_bytes(), 10).unwrap().elements;
            assert!(
                Arguments::of_json(Text::from(json), elements)
                    .reconstruct(&attachment)
                    .is_none(),
                "{num}"
            );
        }
        for json in [r#"[{"_placeholder":1,"num":7}]"#, r#"[{"num":7}]"#] {
            assert_eq!(
                arguments(json).reconstruct(&attachment).unwrap(),
                arguments(json)
            );
        }
    }
}
