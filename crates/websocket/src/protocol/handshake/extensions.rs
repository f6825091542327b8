//! The header `Sec-WebSocket-Extensions` (RFC 6455, section 9.1).

use std::borrow::Cow;

/// Maximum number of extensions in a header, and of parameters of an extension.
const MAX_ITEMS: usize = 32;

/// An extension and its parameters, as offered or accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// The error for a header that is not a list of extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions is not a list of extensions")]
pub struct Malformed;

impl<'a> Extension<'a> {
    /// Parses the extensions of a header, in order.
    ///
    /// # Errors
    ///
    /// The header does not match the grammar of RFC 6455.
    ///
    /// # Limits
    ///
    /// 32 extensions with 32 parameters each; more are refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_websocket::protocol::handshake::Extension;
    ///
    /// let list = Extension::parse(b"a; x=1; y, b").unwrap();
    /// assert_eq!((list[0].name(), list[1].name()), ("a", "b"));
    /// let parameters: Vec<_> = list[0].parameters().collect();
    /// assert_eq!(parameters, [("x", Some("1")), ("y", None)]);
    /// ```
    pub fn parse(field: &'a [u8]) -> Result<Vec<Extension<'a>>, Malformed> {
        let field = str::from_utf8(field).map_err(|_| Malformed)?;
        let mut scanner = Scanner(field);
        let mut list = Vec::new();
        loop {
            // A list may have empty elements (RFC 9110, section 5.6.1).
            while scanner.take(',') {}
            if scanner.is_empty() {
                return Ok(list);
            }
            if list.len() == MAX_ITEMS {
                return Err(Malformed);
            }
            list.push(scanner.extension()?);
            if !scanner.is_empty() && !scanner.take(',') {
                return Err(Malformed);
            }
        }
    }

    /// Returns the name, which is case-sensitive.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the parameters with their unquoted values, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, Option<&str>)> {
        self.parameters
            .iter()
            .map(|(name, value)| (*name, value.as_deref()))
    }
}

/// The unparsed rest of a header.
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn is_empty(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    /// Skips the next character if it is `wanted`; returns `true` if it was.
    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.skip_space();
        let end = self.0.bytes().position(|byte| !is_token(byte));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        if token.is_empty() {
            return Err(Malformed);
        }
        self.0 = rest;
        Ok(token)
    }

    /// Parses a token or a quoted token.
    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if !self.take('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut characters = self.0.char_indices();
        loop {
            match characters.next() {
                Some((end, '"')) => {
                    self.0 = &self.0[end + 1..];
                    break;
                }
                Some((_, '\\')) => value.extend(characters.next().map(|(_, escaped)| escaped)),
                Some((_, plain)) => value.push(plain),
                None => return Err(Malformed),
            }
        }
        if value.is_empty() || !value.bytes().all(is_token) {
            return Err(Malformed);
        }
        Ok(Cow::Owned(value))
    }

    fn extension(&mut self) -> Result<Extension<'a>, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(';') {
            if parameters.len() == MAX_ITEMS {
                return Err(Malformed);
            }
            let name = self.token()?;
            let value = match self.take('=') {
                true => Some(self.value()?),
                false => None,
            };
            parameters.push((name, value));
        }
        Ok(Extension { name, parameters })
    }
}

/// Returns `true` if a token may contain this character (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the list in a normalized form.
    fn parse(field: &str) -> Option<String> {
        let list = Extension::parse(field.as_bytes()).ok()?;
        let written = list.iter().map(|extension| {
            let parameters = extension.parameters().map(|(name, value)| match value {
                Some(value) => format!(";{name}={value}"),
                None => format!(";{name}"),
            });
            extension.name().to_owned() + &parameters.collect::<String>()
        });
        Some(written.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn valid_lists_are_parsed() {
        assert_eq!(parse("").unwrap(), "");
        assert_eq!(parse(" , ,").unwrap(), "");
        assert_eq!(parse("a").unwrap(), "a");
        assert_eq!(parse("a , b,,c").unwrap(), "a,b,c");
        assert_eq!(parse("a; b = 1 ;c=\"2\"\t, d").unwrap(), "a;b=1;c=2,d");
        assert_eq!(parse("a;b=\"\\1\\5\"").unwrap(), "a;b=15");
    }

    #[test]
    fn malformed_lists_are_refused() {
        for field in [
            ";",
            "a;",
            "a;;b",
            "a b",
            "a=1",
            "a;b=",
            "a;=1",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"x y\"",
            "a;b=\"\\",
            "a;b=\"1\"2",
            "(a)",
            "\u{e4}",
            "a;b=1 2",
        ] {
            assert_eq!(parse(field), None, "{field}");
        }
        assert!(Extension::parse(b"a\xff").is_err());
    }

    #[test]
    fn the_number_of_items_is_limited() {
        assert!(parse(&"a,".repeat(32)).is_some());
        assert!(parse(&"a,".repeat(33)).is_none());
        assert!(parse(&("a".to_owned() + &";b".repeat(32))).is_some());
        assert!(parse(&("a".to_owned() + &";b".repeat(33))).is_none());
    }
}
