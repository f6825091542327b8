//! Patterns of paths.

use std::rc::Rc;

use super::expression::Expression;
use super::{RouteError, path};

/// A pattern, ready to be put among others.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Literal text with parameters.
    Plain {
        /// The pattern with numbers for the names, so that `/{id}` and `/{name}` are one.
        key: String,
        names: Rc<[Box<str>]>,
    },
    /// A regular expression for the whole path.
    Regex {
        regex: Expression,
        names: Rc<[Box<str>]>,
    },
}

impl Pattern {
    /// Reads a pattern as [`Router`](super::Router) describes it.
    pub(super) fn parse(pattern: &str) -> Result<Self, RouteError> {
        let parsed = if is_regex(pattern) {
            regex(pattern)
        } else {
            plain(pattern)
        };
        parsed.map_err(|why| RouteError::Pattern {
            pattern: pattern.into(),
            why: why.into(),
        })
    }
}

/// Whether there is a character of regular expressions outside of braces.
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

fn plain(pattern: &str) -> Result<Pattern, String> {
    if !pattern.starts_with('/') {
        return Err("a path begins with a slash".into());
    }
    let escape = |text| {
        path::normalised(text).map_err(|_| "% is not followed by two hexadecimal digits".to_owned())
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
            return Err("two parameters touch".into());
        }
        if after.split('/').next().is_some_and(|end| end.contains('{')) {
            return Err(
                "a segment may have one parameter; in a regular expression it may have more".into(),
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
    Ok(Pattern::Plain {
        key,
        names: names.into(),
    })
}

fn regex(pattern: &str) -> Result<Pattern, String> {
    let regex = Expression::new(&with_groups(pattern)?)?;
    let names = regex.names();
    Ok(Pattern::Regex { regex, names })
}

/// The regular expression with groups for `{name}` and `{*name}`, whose other braces are left alone.
fn with_groups(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => {
                taken += rest[1..].chars().next().map_or(0, char::len_utf8);
                // As in `\p{L}` and `\x{7F}`.
                if rest[taken..].starts_with('{') {
                    taken += rest[taken..].find('}').map_or(0, |end| end + 1);
                }
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class && !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                let end = rest.find('}').ok_or("a brace is not closed")?;
                let inside = &rest[1..end];
                let (name, what) = match inside.strip_prefix('*') {
                    Some(name) => (name, ".*"),
                    None => (inside, "[^/]+"),
                };
                check_name(name)?;
                out += &format!("(?P<{name}>{what})");
                rest = &rest[end + 1..];
                continue;
            }
            _ => {}
        }
        out += &rest[..taken];
        rest = &rest[taken..];
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
            "{{{name}}} is not a parameter: a name is made of letters, digits and _"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_key(pattern: &str) -> String {
        match Pattern::parse(pattern) {
            Ok(Pattern::Plain { key, .. }) => key,
            other => panic!("{pattern}: {other:?}"),
        }
    }

    fn regex_text(pattern: &str) -> String {
        match Pattern::parse(pattern) {
            Ok(Pattern::Regex { regex, .. }) => regex.as_str().to_owned(),
            other => panic!("{pattern}: {other:?}"),
        }
    }

    fn refused(pattern: &str) -> String {
        Pattern::parse(pattern).unwrap_err().to_string()
    }

    #[test]
    fn names_of_parameters_do_not_tell_patterns_apart() {
        assert_eq!(plain_key("/u/{id}/{*rest}"), "/u/{0}/{*1}");
        assert_eq!(plain_key("/u/{name}"), plain_key("/u/{id}"));
    }

    #[test]
    fn a_dot_does_not_make_a_regular_expression() {
        assert_eq!(plain_key("/favicon.ico"), "/favicon.ico");
    }

    #[test]
    fn characters_of_regular_expressions_outside_of_braces_make_one() {
        for pattern in ["/ws(?:/.*)?", "/a+", "/[ab]", "^/x$", r"/\d", "/a|/b"] {
            assert!(is_regex(pattern), "{pattern}");
        }
        assert!(!is_regex("/files/{*rest}"));
    }

    #[test]
    fn a_regular_expression_matches_whole_paths_only() {
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
    fn the_braces_of_a_regular_expression_stay_what_they_are() {
        for pattern in [r"/\d{2,4}", r"/\p{L}+", r"/[{}]+", r"/\{x\}", r"/\x{41}*"] {
            assert_eq!(regex_text(pattern), format!(r"\A(?:{pattern})\z"));
        }
    }

    #[test]
    fn malformed_patterns_are_refused_with_the_reason() {
        assert!(refused("users").contains("begins with a slash"));
        assert!(refused("").contains("begins with a slash"));
        assert!(refused("/{id").contains("not closed"));
        assert!(refused("/id}").contains("not opened"));
        assert!(refused("/id}/{x}").contains("not opened"));
        assert!(refused("/{a}{b}").contains("touch"));
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
