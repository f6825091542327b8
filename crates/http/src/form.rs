//! URL-encoded forms: `application/x-www-form-urlencoded`.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::extract::decode_form;
use crate::{BodyError, Request};

/// The decoded names and values of a form. As in the URL standard, `+` is a space, and bytes that are not UTF-8 are replaced.
///
/// # Limits
/// 1,000 names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
}

/// Maximum number of names in a form.
const MAX_PAIRS: usize = 1_000;

const URLENCODED: &str = "application/x-www-form-urlencoded";

impl Form {
    /// Decodes a form.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] if it has more than 1,000 names.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::Form;
    ///
    /// let form = Form::parse(b"name=Ada+L.&tag=a&tag=b%26c")?;
    /// assert_eq!(form.get("name"), Some("Ada L."));
    /// assert_eq!(form.all("tag").collect::<Vec<_>>(), ["a", "b&c"]);
    /// # Ok::<(), uptick_http::BodyError>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Form, BodyError> {
        let mut pairs = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            if pairs.len() == MAX_PAIRS {
                let reason = format!("it has more than {MAX_PAIRS} names");
                return Err(BodyError::malformed("a form", reason));
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            pairs.push((decoded(name), decoded(value)));
        }
        Ok(Form { pairs })
    }

    /// Returns the first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Returns an iterator over all values of a name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter_map(move |(key, value)| (key == name).then_some(value))
    }

    /// Returns an iterator over the names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns `true` if there are no values.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

fn decoded(text: &[u8]) -> String {
    let text: Cow<'_, [u8]> = match text.contains(&b'+') {
        true => text
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect(),
        false => text.into(),
    };
    percent_decode(&text).decode_utf8_lossy().into_owned()
}

impl Request {
    /// Reads the body, a URL-encoded form, as a [`Form`] or as a `serde` type by the rules of [`query`](Request::query). The body may have at
    /// most 1 MiB ([`HttpServer::body_limit`](crate::HttpServer::body_limit)). Forms with files are read by `multipart`, which requires the
    /// feature `multipart`.
    ///
    /// # Errors
    /// The errors of [`bytes`](Request::bytes) and [`Form::parse`]; [`BodyError::WrongType`] (415) if the `Content-Type` is not
    /// `application/x-www-form-urlencoded`; [`BodyError::Data`] (422) with the name of the value if a value is missing or has the wrong type.
    ///
    /// # Examples
    /// ```
    /// use std::collections::BTreeMap;
    /// use uptick_http::{HttpError, Request};
    ///
    /// async fn sum(req: Request) -> Result<String, HttpError> {
    ///     let form: BTreeMap<String, u64> = req.form().await?;
    ///     Ok(form.values().sum::<u64>().to_string())
    /// }
    /// # let _ = sum;
    /// ```
    pub fn form<T: DeserializeOwned>(&self) -> impl Future<Output = Result<T, BodyError>> + use<T> {
        let encoded = self.media_type().eq_ignore_ascii_case(URLENCODED);
        let bytes = self.bytes(self.body_limit());
        async move {
            if !encoded {
                let expected = URLENCODED;
                return Err(BodyError::WrongType { expected });
            }
            decode_form(Form::parse(&bytes.await?)?.iter())
        }
    }
}

/// Deserializes a form from a sequence of names and values.
impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::deserialize(deserializer)?;
        Ok(Form { pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        Form::parse(text.as_bytes()).unwrap().pairs
    }

    #[test]
    fn names_and_values_are_decoded_once() {
        let cases = [
            ("a=1", "a", "1"),
            ("a+b=c+d", "a b", "c d"),
            ("a%2Bb=%26%3d", "a+b", "&="),
            ("a=b=c", "a", "b=c"),
            ("a", "a", ""),
            ("=b", "", "b"),
            ("a=%2541", "a", "%41"),
            ("a=%", "a", "%"),
            ("a=%zz", "a", "%zz"),
            ("a=%ff", "a", "\u{fffd}"),
            ("a=%C3%A4", "a", "ä"),
        ];
        for (text, name, value) in cases {
            assert_eq!(pairs(text), [(name.to_owned(), value.to_owned())], "{text}");
        }
        assert_eq!(pairs("&&a=1&"), pairs("a=1"));
        assert!(Form::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn a_form_has_at_most_a_thousand_names() {
        let most = "a=1&".repeat(MAX_PAIRS);
        assert_eq!(pairs(&most).len(), MAX_PAIRS);
        let more = Form::parse(format!("{most}b").as_bytes()).unwrap_err();
        assert!(more.to_string().contains("1000 names"), "{more}");
    }
}
