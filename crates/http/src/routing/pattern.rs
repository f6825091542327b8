//! Path patterns.

use std::rc::Rc;

use super::expression::Expression;
use super::{RouteError, path};

/// A parsed pattern.
#[derive(Debug)]
pub(super) enum RoutePattern {
    /// Literal text with parameters.
    Plain {
        /// The pattern with numbers instead of the names, so that `/{id}` and `/{name}` are equal.
        key: String,
        names: Rc<[Box<str>]>,
    },
    /// A regular expression for the whole path.
    Regex {
        regex: Expression,
        names: Rc<[Box<str>]>,
    },
}

impl RoutePattern {
    /// Parses a pattern, as described at [`Router`](super::Router).
    pub(super) fn parse(pattern: &str) -> Result<Self, RouteError> {
        let parsed = if is_regex(pattern) {
            regex(pattern)
        } else {
            plain(pattern)
        };
        parsed.map_err(|reason| RouteError::Pattern {
            pattern: pattern.into(),
            reason: reason.into(),
        })
    }
}

/// Returns whether the pattern has a regular expression character outside of braces.
fn is_regex(pattern: &str) -> bool {
    let mut depth = 0_usize;
    pattern.chars().any(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && "()[]*+?^$|\\".contains(c)
    })
}

fn plain(pattern: &str) -> Result<RoutePattern, String> {
    if !pattern.starts_with('/') {
        return Err("it does not start with a slash".into());
    }
    let escape = |text| {
        path::normalized(text).map_err(|_| "% is not followed by two hexadecimal digits".to_owned())
    };
    let mut key = String::new();
    let mut names: Vec<Box<str>> = Vec::new();
    let mut rest = pattern;
    while let Some((text, after)) = rest.split_once('{') {
        if text.contains('}') {
            return Err("a brace is not opened".into());
        }
        let (inside, after) = after.split_once('}').ok_or("a brace is not closed")?;
        let (star, name) = match inside.strip_prefix('*') {
            Some(name) => ("*", name),
            None => ("", inside),
        };
        check_name(name)?;
        if names.iter().any(|n| **n == *name) {
            return Err(format!("there are two parameters {name}"));
        }
        if !star.is_empty() && !after.is_empty() {
            return Err(format!("{{*{name}}} is not at the end"));
        }
        if after.starts_with('{') {
            return Err("two parameters are adjacent".into());
        }
        if after.split('/').next().is_some_and(|end| end.contains('{')) {
            return Err(
                "a segment can have only one parameter; a regular expression can have more".into(),
            );
        }
        key += &escape(text)?;
        key += &format!("{{{star}{}}}", names.len());
        names.push(name.into());
        rest = after;
    }
    if rest.contains('}') {
        return Err("a brace is not opened".into());
    }
    key += &escape(rest)?;
    Ok(RoutePattern::Plain {
        key,
        names: names.into(),
    })
}

fn regex(pattern: &str) -> Result<RoutePattern, String> {
    let regex = Expression::new(&with_groups(pattern)?)?;
    let names = regex.names();
    Ok(RoutePattern::Regex { regex, names })
}

/// Replaces `{name}` and `{*name}` in a regular expression by groups. Other braces are not changed.
fn with_groups(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '\\' => {
                length += rest[1..].chars().next().map_or(0, char::len_utf8);
                // Braces after an escape belong to it, as in `\p{L}` and `\x{7F}`.
                if rest[length..].starts_with('{') {
                    length += rest[length..].find('}').map_or(0, |end| end + 1);
                }
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let end = rest.find('}').ok_or("a brace is not closed")?;
                let inside = &rest[1..end];
                let (name, expression) = match inside.strip_prefix('*') {
                    Some(name) => (name, ".*"),
                    None => (inside, "[^/]+"),
                };
                check_name(name)?;
                out += &format!("(?P<{name}>{expression})");
                rest = &rest[end + 1..];
                continue;
            }
            _ => {}
        }
        out += &rest[..length];
        rest = &rest[length..];
    }
    Ok(out)
}

fn check_name(name: &str) -> Result<(), String> {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(())
    } else {
        Err(format!(
            "{{{name}}} is not a parameter: a name consists of letters, digits and _"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_key(pattern: &str) -> String {
        match RoutePattern::parse(pattern) {
            Ok(RoutePattern::Plain { key, .. }) => key,
            other => panic!("{pattern}: {other:?}"),
        }
    }

    fn regex_text(pattern: &str) -> String {
        match RoutePattern::parse(pattern) {
            Ok(RoutePattern::Regex { regex, .. }) => regex.as_str().to_owned(),
            other => panic!("{pattern}: {other:?}"),
        }
    }

    fn refused(pattern: &str) -> String {
        RoutePattern::parse(pattern).unwrap_err().to_string()
    }

    #[test]
    fn patterns_that_differ_only_in_parameter_names_are_equal() {
        assert_eq!(plain_key("/u/{id}/{*rest}"), "/u/{0}/{*1}");
        assert_eq!(plain_key("/u/{name}"), plain_key("/u/{id}"));
    }

    #[test]
    fn a_dot_does_not_make_a_regular_expression() {
        assert_eq!(plain_key("/favicon.ico"), "/favicon.ico");
    }

    #[test]
    fn a_regular_expression_character_outside_of_braces_makes_a_regular_expression() {
        for pattern in ["/ws(?:/.*)?", "/a+", "/[ab]", "^/x$", r"/\d", "/a|/b"] {
            assert!(is_regex(pattern), "{pattern}");
        }
        assert!(!is_regex("/files/{*rest}"));
    }

    #[test]
    fn a_regular_expression_matches_only_whole_paths() {
        assert_eq!(regex_text("/a|/b"), r"\A(?:/a|/b)\z");
    }

    #[test]
    fn parameters_in_a_regular_expression_become_groups() {
        assert_eq!(
            regex_text(r"/{id}/(?:{*rest})?"),
            r"\A(?:/(?P<id>[^/]+)/(?:(?P<rest>.*))?)\z"
        );
    }

    #[test]
    fn other_braces_of_a_regular_expression_are_not_changed() {
        for pattern in [r"/\d{2,4}", r"/\p{L}+", r"/[{}]+", r"/\{x\}", r"/\x{41}*"] {
            assert_eq!(regex_text(pattern), format!(r"\A(?:{pattern})\z"));
        }
    }

    #[test]
    fn malformed_patterns_are_refused_with_the_reason() {
        assert!(refused("users").contains("not start with a slash"));
        assert!(refused("").contains("not start with a slash"));
        assert!(refused("/{id").contains("not closed"));
        assert!(refused("/id}").contains("not opened"));
        assert!(refused("/id}/{x}").contains("not opened"));
        assert!(refused("/{a}{b}").contains("adjacent"));
        assert!(refused("/{}").contains("not a parameter"));
        assert!(refused("/{1}").contains("not a parameter"));
        assert!(refused("/{a b}").contains("not a parameter"));
        assert!(refused("/{a}/{a}").contains("two parameters a"));
        assert!(refused("/{*rest}/x").contains("not at the end"));
        assert!(refused("/%zz").contains("hexadecimal"));
    }

    #[test]
    fn malformed_regular_expressions_are_refused_with_the_reason() {
        assert!(refused("/(").contains("regex parse error"));
        assert!(refused(r"/(?:\w{1000}){1000}").contains("more than"));
    }
}
