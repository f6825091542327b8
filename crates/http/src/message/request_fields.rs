//! The headers of a request that is sent.

use std::slice;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers of a request to send: a map, or a list that is sent in its order, including repeated names.
///
/// ```
/// use http::{HeaderName, HeaderValue};
/// use uptick_http::h1::RequestFields;
///
/// let list = [
///     (HeaderName::from_static("x-b"), HeaderValue::from_static("1")),
///     (HeaderName::from_static("x-a"), HeaderValue::from_static("2")),
///     (HeaderName::from_static("x-b"), HeaderValue::from_static("3")),
/// ];
/// let fields = RequestFields::from(&list[..]);
/// assert!(fields.iter().map(|(name, _)| name.as_str()).eq(["x-b", "x-a", "x-b"]));
/// assert!(RequestFields::default().iter().next().is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub enum RequestFields<'a> {
    /// A map. The values of a name are sent one after the other.
    Map(&'a HeaderMap),
    /// A list, in the order of sending.
    List(&'a [(HeaderName, HeaderValue)]),
}

impl Default for RequestFields<'_> {
    fn default() -> Self {
        RequestFields::List(&[])
    }
}

impl<'a> From<&'a HeaderMap> for RequestFields<'a> {
    fn from(fields: &'a HeaderMap) -> Self {
        RequestFields::Map(fields)
    }
}

impl<'a> From<&'a [(HeaderName, HeaderValue)]> for RequestFields<'a> {
    fn from(fields: &'a [(HeaderName, HeaderValue)]) -> Self {
        RequestFields::List(fields)
    }
}

impl<'a> RequestFields<'a> {
    /// Returns the fields in the order of sending.
    pub fn iter(self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> + use<'a> {
        RequestFieldsIter::of(self)
    }

    /// Returns `true` if there is a field with this name.
    pub fn contains(self, name: &HeaderName) -> bool {
        match self {
            RequestFields::Map(map) => map.contains_key(name),
            RequestFields::List(list) => list.iter().any(|(other, _)| other == name),
        }
    }
}

/// The iterator over the fields of a request.
enum RequestFieldsIter<'a> {
    Map(http::header::Iter<'a, HeaderValue>),
    List(slice::Iter<'a, (HeaderName, HeaderValue)>),
}

impl<'a> RequestFieldsIter<'a> {
    fn of(fields: RequestFields<'a>) -> Self {
        match fields {
            RequestFields::Map(map) => RequestFieldsIter::Map(map.iter()),
            RequestFields::List(list) => RequestFieldsIter::List(list.iter()),
        }
    }
}

impl<'a> Iterator for RequestFieldsIter<'a> {
    type Item = (&'a HeaderName, &'a HeaderValue);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            RequestFieldsIter::Map(fields) => fields.next(),
            RequestFieldsIter::List(fields) => fields.next().map(|(name, value)| (name, value)),
        }
    }
}
