//! Invariants of the router for any patterns: it does not panic, a pattern without parameters matches only itself, parameters are parts of the
//! path, and neither the order of registration nor the spelling of the path matters.

use uptick_http::Method;
use uptick_http::router::{RouteMatch, Router};

/// The characters that make a pattern a regular expression.
const REGEX: [char; 11] = ['(', ')', '[', ']', '*', '+', '?', '^', '$', '|', '\\'];

/// Checks the invariants for a table with these patterns and a path.
pub(crate) fn check(patterns: &[&str], path: &str) {
    let mut router = Router::new();
    let mut backwards = Router::new();
    let added: Vec<bool> = patterns
        .iter()
        .enumerate()
        .map(|(index, pattern)| router.add("GET", pattern, index).is_ok())
        .collect();
    let kept = patterns
        .iter()
        .enumerate()
        .filter(|(index, _)| added[*index]);
    // Some pairs of patterns are accepted in only one order.
    let same = kept
        .rev()
        .all(|(index, pattern)| backwards.add("GET", pattern, index).is_ok());
    let found = |router: &Router<usize>, path: &str| match router.find(&Method::GET, path) {
        RouteMatch::Route { value, params } => {
            let params: Vec<_> = params
                .iter(path)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            Some((*value, params))
        }
        _ => None,
    };
    let forwards = found(&router, path);
    assert!(router.has_path(path) || forwards.is_none());
    let has_regex = patterns
        .iter()
        .any(|pattern| pattern.replace("{*", "{").contains(REGEX));
    if same && !has_regex {
        assert_eq!(found(&backwards, path), forwards, "backwards");
    }
    if !path.contains('%') {
        let escaped = |byte| match byte {
            b'/' => "/".to_owned(),
            byte => format!("%{byte:02x}"),
        };
        let spelt: String = path.bytes().map(escaped).collect();
        assert_eq!(found(&router, &spelt), forwards, "{spelt}");
    }
    if let Some((index, params)) = &forwards {
        let pattern = patterns[*index];
        if !has_regex && !pattern.contains(['{', '%']) && !path.contains('%') {
            assert_eq!(pattern, path);
        }
        if !has_regex && !path.contains('%') && !pattern.contains("{*") {
            for (name, value) in params {
                assert!(
                    !value.is_empty() && !value.contains('/'),
                    "{name}: {value:?}"
                );
                assert!(path.contains(value.as_str()));
            }
        }
    }
    // Every pattern without parameters is found, regardless of other patterns.
    for (index, pattern) in patterns.iter().enumerate() {
        let text = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!&',;=:@".contains(&byte);
        if added[index] && pattern.bytes().all(text) {
            let found = router.find(&Method::GET, pattern);
            assert!(
                matches!(found, RouteMatch::Route { value, .. } if *value == index),
                "{pattern:?}"
            );
        }
    }
}
