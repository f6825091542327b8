//! Server names: patterns as in certificates, and a table that is asked by name.

use std::collections::HashMap;
use std::net::IpAddr;

use rustls_pki_types::DnsName;
use uptick_emitter::Excerpt;

/// A name, or `*.` and a name for all those with one label more (RFC 9525, section 6.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    Exact(String),
    /// What comes after `*.`.
    Wildcard(String),
}

impl Pattern {
    /// Parses a pattern; the error completes the sentence "… is no server name: ".
    fn parse(text: &str) -> Result<Pattern, &'static str> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains('*') {
            return Err("`*` can only stand for the whole first label, as in `*.example.org`");
        }
        if name.ends_with('.') {
            return Err("leave the dot at its end out");
        }
        if !name.is_ascii() {
            return Err("write it in its ASCII form (`xn--…`)");
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err("clients name no IP addresses, only names");
        }
        if DnsName::try_from(name).is_err() {
            return Err("it is no valid DNS name");
        }
        let name_in_lower_case = name.to_ascii_lowercase();
        Ok(match name.len() == text.len() {
            true => Pattern::Exact(name_in_lower_case),
            false => Pattern::Wildcard(name_in_lower_case),
        })
    }
}

/// Something for each of many names. Case does not matter.
#[derive(Debug)]
pub(crate) struct Names<T>(HashMap<Pattern, T>);

impl<T> Names<T> {
    pub(crate) fn new() -> Self {
        Names(HashMap::new())
    }

    /// Adds something for a pattern; the error says what is wrong with the pattern.
    pub(crate) fn add(&mut self, pattern: &str, value: T) -> Result<(), String> {
        let parsed = Pattern::parse(pattern)
            .map_err(|reason| format!("`{}` is no server name: {reason}", Excerpt::new(pattern)))?;
        if self.0.insert(parsed, value).is_some() {
            return Err(format!("`{pattern}` is there twice"));
        }
        Ok(())
    }

    /// What is there for a name: for the name itself, or for a wildcard in place of its first label.
    pub(crate) fn find(&self, name: &str) -> Option<&T> {
        let name = name.to_ascii_lowercase();
        let parent = name
            .split_once('.')
            .map(|(_, parent)| Pattern::Wildcard(parent.to_owned()));
        self.0
            .get(&Pattern::Exact(name))
            .or_else(|| self.0.get(&parent?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_case_does_not_matter() {
        let mut names = Names::new();
        names.add("*.example.org", 1).unwrap();
        names.add("WWW.example.org", 2).unwrap();
        assert_eq!(names.find("www.example.org"), Some(&2));
        assert_eq!(names.find("wWw.Example.ORG"), Some(&2));
        assert_eq!(names.find("Mail.example.org"), Some(&1));
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let mut names = Names::new();
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
    fn a_bad_pattern_is_named_with_the_reason() {
        let cases = [
            (
                "w*.example.org",
                "`*` can only stand for the whole first label, as in `*.example.org`",
            ),
            (
                "*.*.org",
                "`*` can only stand for the whole first label, as in `*.example.org`",
            ),
            (
                "*",
                "`*` can only stand for the whole first label, as in `*.example.org`",
            ),
            ("example.org.", "leave the dot at its end out"),
            ("bücher.example", "write it in its ASCII form (`xn--…`)"),
            ("192.0.2.1", "clients name no IP addresses, only names"),
            ("2001:db8::1", "clients name no IP addresses, only names"),
            ("", "it is no valid DNS name"),
            ("*.", "it is no valid DNS name"),
            ("a b", "it is no valid DNS name"),
            ("a..b", "it is no valid DNS name"),
        ];
        for (pattern, reason) in cases {
            let error = Names::new().add(pattern, ()).unwrap_err();
            let expected = format!("`{pattern}` is no server name: {reason}");
            assert_eq!(error, expected);
        }
        let error = Names::new().add(&"ü".repeat(3000), ()).unwrap_err();
        assert!(error.len() < 500, "{error}");
    }

    #[test]
    fn a_name_that_is_there_twice_is_an_error() {
        let mut names = Names::new();
        names.add("example.org", ()).unwrap();
        let error = names.add("Example.org", ()).unwrap_err();
        assert_eq!(error, "`Example.org` is there twice");
    }
}
