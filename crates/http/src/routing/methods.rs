//! The methods of a route.

use std::fmt::Write as _;

use super::RouteError;
use crate::Method;

/// The standard methods (RFC 9110, section 9; RFC 5789).
const STANDARD: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

/// The methods of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Methods {
    /// Every method except CONNECT.
    Any,
    /// The listed methods.
    Some(Vec<Method>),
}

impl Methods {
    /// Parses a list such as `GET|POST`, ignoring case. `ALL`, `ANY` and `*` mean every method except CONNECT.
    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        let mut methods = Vec::new();
        for name in text.split('|').map(str::trim) {
            let name = name.to_ascii_uppercase();
            if matches!(&*name, "ALL" | "ANY" | "*") {
                return Ok(Self::Any);
            }
            let method = Method::from_bytes(name.as_bytes()).map_err(|_| RouteError::Method {
                methods: text.into(),
            })?;
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        Ok(Self::Some(methods))
    }
}

/// Returns whether the method is a standard method other than CONNECT.
pub(super) fn is_standard(method: &Method) -> bool {
    STANDARD.contains(method) && method != Method::CONNECT
}

/// Returns the value of an `Allow` header.
pub(super) fn allow<'a>(methods: impl IntoIterator<Item = &'a Method>) -> String {
    let mut text = String::new();
    for method in methods {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{method}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_separated_by_bars_and_case_is_ignored() {
        assert_eq!(
            Methods::parse("get| POST|GET").unwrap(),
            Methods::Some(vec![Method::GET, Method::POST])
        );
    }

    #[test]
    fn all_means_every_method() {
        for text in ["ALL", "any", "*", "GET|ALL"] {
            assert_eq!(Methods::parse(text).unwrap(), Methods::Any);
        }
    }

    #[test]
    fn malformed_methods_are_refused() {
        for text in ["", "GET|", "GET POST", "GET/"] {
            assert!(Methods::parse(text).is_err(), "{text}");
        }
    }
}
