//! Server names: wildcard patterns as in certificates, and a map with lookup by name.

use std::collections::HashMap;
use std::net::IpAddr;

use rustls_pki_types::DnsName;
use uptick_emitter::Excerpt;

/// An exact name, or a wildcard that matches all names with one more label (RFC 9525, section 6.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum NamePattern {
    Exact(String),
    /// The part after `*.`.
    Wildcard(String),
}

impl NamePattern {
    /// Parses a pattern. The error completes the sentence "… is not a valid server name: ".
    fn parse(text: &str) -> Result<NamePattern, &'static str> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('*') {
            return Err("`*` is only allowed as the whole first label, as in `*.example.org`");
        }
        if name.ends_with('.') {
            return Err("remove the trailing dot");
        }
        if !name.is_ascii() {
            return Err("use its ASCII form (`xn--…`)");
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err("clients send only host names, no IP addresses");
        }
        if DnsName::try_from(name).is_err() {
            return Err("it is not a valid DNS name");
        }
        let name_in_lower_case = name.to_ascii_lowercase();
        Ok(match name.len() == text.len() {
            true => NamePattern::Exact(name_in_lower_case),
            false => NamePattern::Wildcard(name_in_lower_case),
        })
    }
}

/// A map by server name, ignoring case.
#[derive(Debug)]
pub(crate) struct NameMap<T>(HashMap<NamePattern, T>);

impl<T> NameMap<T> {
    pub(crate) fn new() -> Self {
        NameMap(HashMap::new())
    }

    /// Adds a value for a pattern. Returns an error if the pattern is invalid or already present.
    pub(crate) fn add(&mut self, pattern: &str, value: T) -> Result<(), String> {
        let parsed = NamePattern::parse(pattern).map_err(|reason| {
            format!(
                "`{}` is not a valid server name: {reason}",
                Excerpt::new(pattern)
            )
        })?;
        if self.0.insert(parsed, value).is_some() {
            return Err(format!("`{pattern}` is listed twice"));
        }
        Ok(())
    }

    /// Returns the value for a name: that of the exact name, or else that of a wildcard for its first label.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        let name = name.to_ascii_lowercase();
        let parent = name
            .split_once('.')
            .map(|(_, parent)| NamePattern::Wildcard(parent.to_owned()));
        self.0
            .get(&NamePattern::Exact(name))
            .or_else(|| self.0.get(&parent?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_takes_precedence_over_a_wildcard_and_case_is_ignored() {
        let mut names = NameMap::new();
        names.add("*.example.org", 1).unwrap();
        names.add("WWW.example.org", 2).unwrap();
        assert_eq!(names.find("www.example.org"), Some(&2));
        assert_eq!(names.find("wWw.Example.ORG"), Some(&2));
        assert_eq!(names.find("Mail.example.org"), Some(&1));
    }

    #[test]
    fn a_wildcard_matches_exactly_one_label() {
        let mut names = NameMap::new();
        names.add("*.example.org", ()).unwrap();
        assert!(names.find("a.example.org").is_some());
        for other in [
            "example.org",
            "a.b.example.org",
            "aexample.org",
            "a.example.com",
            "",
        ] {
            assert!(names.find(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_error_for_an_invalid_pattern_contains_it_and_the_reason() {
        let cases = [
            (
                "w*.example.org",
                "`*` is only allowed as the whole first label, as in `*.example.org`",
            ),
            (
                "*.*.org",
                "`*` is only allowed as the whole first label, as in `*.example.org`",
            ),
            (
                "*",
                "`*` is only allowed as the whole first label, as in `*.example.org`",
            ),
            ("example.org.", "remove the trailing dot"),
            ("bücher.example", "use its ASCII form (`xn--…`)"),
            ("192.0.2.1", "clients send only host names, no IP addresses"),
            (
                "2001:db8::1",
                "clients send only host names, no IP addresses",
            ),
            ("", "it is not a valid DNS name"),
            ("*.", "it is not a valid DNS name"),
            ("a b", "it is not a valid DNS name"),
            ("a..b", "it is not a valid DNS name"),
        ];
        for (pattern, reason) in cases {
            let error = NameMap::new().add(pattern, ()).unwrap_err();
            let expected = format!("`{pattern}` is not a valid server name: {reason}");
            assert_eq!(error, expected);
        }
        let error = NameMap::new().add(&"ü".repeat(3000), ()).unwrap_err();
        assert!(error.len() < 500, "{error}");
    }

    #[test]
    fn a_duplicate_name_is_an_error() {
        let mut names = NameMap::new();
        names.add("example.org", ()).unwrap();
        let error = names.add("Example.org", ()).unwrap_err();
        assert_eq!(error, "`Example.org` is listed twice");
    }
}
