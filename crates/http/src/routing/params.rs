//! The path parameters of a match.

use std::rc::Rc;
use std::str::Utf8Error;

use percent_encoding::percent_decode;

/// The parameters of a match, percent-decoded.
///
/// Values without escapes are stored as ranges of the request's path, so that a single parameter needs no allocation.
#[derive(Clone, Debug, Default)]
pub struct Params {
    names: Option<Rc<[Box<str>]>>,
    first: ParamValue,
    rest: Box<[ParamValue]>,
}

/// The value of a parameter. A range outside of the path is a group of a regular expression that did not participate in the match.
#[derive(Clone, Debug)]
pub(super) enum ParamValue {
    Range { start: u32, end: u32 },
    Owned(Box<str>),
}

impl Params {
    /// Returns the value of the parameter `name`; `path` is the path that was matched.
    pub fn get<'a>(&'a self, path: &'a str, name: &str) -> Option<&'a str> {
        self.get_in(path.as_bytes(), name)
    }

    /// Returns the value as [`get`](Params::get) does, for a path as bytes.
    pub(crate) fn get_in<'a>(&'a self, path: &'a [u8], name: &str) -> Option<&'a str> {
        let index = self.names().iter().position(|other| **other == *name)?;
        match index {
            0 => self.first.text(path),
            _ => self.rest.get(index - 1)?.text(path),
        }
    }

    /// Returns an iterator over the names and values in the order of the pattern; `path` is the path that was matched.
    pub fn iter<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let values = std::iter::once(&self.first).chain(&self.rest);
        self.names()
            .iter()
            .zip(values)
            .filter_map(|(name, value)| Some((&**name, value.text(path.as_bytes())?)))
    }

    fn names(&self) -> &[Box<str>] {
        self.names.as_deref().unwrap_or_default()
    }

    pub(super) fn new(names: Rc<[Box<str>]>, values: impl IntoIterator<Item = ParamValue>) -> Self {
        let mut values = values.into_iter();
        Self {
            names: Some(names),
            first: values.next().unwrap_or(ParamValue::ABSENT),
            rest: values.collect(),
        }
    }
}

impl Default for ParamValue {
    fn default() -> Self {
        Self::ABSENT
    }
}

impl ParamValue {
    pub(super) const ABSENT: Self = Self::Range {
        start: u32::MAX,
        end: 0,
    };

    /// Decodes the value `raw`. It is stored as a range if it is a part of `original`.
    pub(super) fn of(original: &[u8], raw: &[u8]) -> Result<Self, Utf8Error> {
        if raw.contains(&b'%') {
            let decoded = percent_decode(raw).decode_utf8()?;
            return Ok(Self::Owned(decoded.into()));
        }
        let start = (raw.as_ptr() as usize).wrapping_sub(original.as_ptr() as usize);
        let end = start.wrapping_add(raw.len());
        // If the path was normalized, the value is not a part of the original.
        let is_part = start <= original.len() && end <= original.len();
        let range = u32::try_from(start).ok().zip(u32::try_from(end).ok());
        Ok(match range {
            Some((start, end)) if is_part => Self::Range { start, end },
            _ => Self::Owned(str::from_utf8(raw)?.into()),
        })
    }

    fn text<'a>(&'a self, path: &'a [u8]) -> Option<&'a str> {
        match self {
            Self::Range { start, end } => {
                let range = *start as usize..*end as usize;
                str::from_utf8(path.get(range)?).ok()
            }
            Self::Owned(text) => Some(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_an_escape_is_a_range_of_the_path() {
        let path = b"/users/7";
        let value = ParamValue::of(path, &path[7..]).unwrap();
        assert!(matches!(value, ParamValue::Range { start: 7, end: 8 }));
        assert_eq!(value.text(path), Some("7"));
    }

    #[test]
    fn a_value_of_another_string_is_copied() {
        let other = String::from("seven");
        let value = ParamValue::of(b"/users/7", other.as_bytes()).unwrap();
        assert_eq!(value.text(b"/users/7"), Some("seven"));
    }

    #[test]
    fn a_value_with_an_escape_is_decoded() {
        let path = b"/a%2Fb";
        let value = ParamValue::of(path, &path[1..]).unwrap();
        assert_eq!(value.text(path), Some("a/b"));
    }

    #[test]
    fn a_value_that_does_not_decode_to_utf_8_is_an_error() {
        assert!(ParamValue::of(b"/%FF", b"%FF").is_err());
    }

    #[test]
    fn a_value_takes_two_words() {
        assert_eq!(size_of::<ParamValue>(), 16);
    }

    #[test]
    fn an_empty_list_of_parameters_has_no_values() {
        assert_eq!(Params::default().get("/", "id"), None);
        assert_eq!(Params::default().iter("/").count(), 0);
    }

    #[test]
    fn an_absent_value_is_skipped() {
        let names: Rc<[Box<str>]> = Rc::new(["a".into(), "b".into()]);
        let params = Params::new(names, [ParamValue::ABSENT, ParamValue::Owned("1".into())]);
        assert_eq!(params.iter("/").collect::<Vec<_>>(), [("b", "1")]);
    }
}
