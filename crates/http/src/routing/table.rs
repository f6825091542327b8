//! The routing table.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::expression::Expression;
use super::methods::{self, Methods};
use super::params::{ParamValue, Params};
use super::pattern::RoutePattern;
use super::tree::{Spans, Tree};
use super::{RouteError, path};
use crate::Method;

/// A routing table: path patterns, each with a value per method.
///
/// `{name}` in a pattern matches one segment or the rest of a segment. `{*name}`, at the end, matches the rest of the path, which may be
/// empty: `/files/{*path}` matches `/files/`, but not `/files`. A pattern with one of the characters `()[]*+?^$|\` outside of braces is a
/// regular expression that must match the whole path; its named groups are also parameters. Regular expressions require the feature
/// `regex`.
///
/// If several patterns match a path, the most specific one wins: at the first difference, text takes precedence over `{name}`, and `{name}`
/// over `{*name}`. Regular expressions come last. The order of registration matters only among regular expressions: the first one that
/// matches and has the method wins.
///
/// A segment has at most one parameter. If one pattern has text before its parameter and another pattern has text after it, as in
/// `/img-{id}` and `/{id}.png`, neither is more specific, and the second one is refused.
///
/// Paths are compared in their normal form, in which each byte that is allowed in a path is not escaped and every other byte is an escape
/// with upper-case digits. For example, `/%40a` is equal to `/@a`, and a pattern matches every spelling of its paths. An escaped slash does
/// not end a segment, and a path with a trailing slash is a different path. Regular expressions match the normal form, in which `é` is
/// `%C3%A9` and a space is `%20`. Parameters are decoded once, after matching: `{name}` may contain a slash, and in `{*name}` an escaped
/// slash cannot be distinguished from a separator. If the difference matters, use the path itself.
///
/// # Examples
///
/// ```
/// use uptick_http::Method;
/// use uptick_http::router::{RouteMatch, Router};
///
/// let mut router = Router::new();
/// router.add("GET", "/users/{id}", "a user")?;
/// router.add("GET", "/users/new", "a form")?;
///
/// let path = "/users/J%C3%BCrgen";
/// let RouteMatch::Route { value, params } = router.find(&Method::GET, path) else { panic!() };
/// assert_eq!((*value, params.get(path, "id")), ("a user", Some("Jürgen")));
/// # Ok::<(), uptick_http::router::RouteError>(())
/// ```
#[derive(Clone)]
pub struct Router<T> {
    tree: Tree,
    regexes: Vec<(Expression, usize)>,
    /// The parameters with text before or after them in their segment, by the part of the pattern before that segment.
    affixes: HashMap<Box<str>, Vec<Affix>>,
    endpoints: Vec<RouteEndpoint<T>>,
    /// Methods of routes that are not standard methods.
    custom_methods: Vec<Method>,
}

#[derive(Clone)]
struct RouteEndpoint<T> {
    /// The pattern of the first route.
    pattern: Box<str>,
    by_method: Vec<(Method, RouteEntry<T>)>,
    any: Option<RouteEntry<T>>,
}

#[derive(Clone)]
struct RouteEntry<T> {
    value: T,
    names: Rc<[Box<str>]>,
}

/// The result of a lookup in a [`Router`].
#[derive(Debug)]
#[non_exhaustive]
pub enum RouteMatch<'a, T> {
    /// A route matches.
    Route {
        /// The value of the route.
        value: &'a T,
        /// The parameters of its pattern.
        params: Params,
    },
    /// The path has routes, but none for OPTIONS: the response is 204 with this `Allow`.
    Options {
        /// The methods, separated by commas.
        allow: String,
    },
    /// The path has routes, but none for the method: 405 with this `Allow`.
    MethodNotAllowed {
        /// The methods, separated by commas.
        allow: String,
    },
    /// No route matches the path: 404.
    NotFound,
    /// The path has a malformed escape, or a parameter that is not UTF-8: 400.
    BadPath,
    /// No route has a method of this name: 501.
    UnknownMethod,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            tree: Tree::default(),
            regexes: Vec::new(),
            affixes: HashMap::new(),
            endpoints: Vec::new(),
            custom_methods: Vec::new(),
        }
    }
}

impl<T> Router<T> {
    /// Creates an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. `methods` are separated by `|`, as in `GET|POST`; `ALL` means every method except CONNECT.
    ///
    /// A route for GET also handles HEAD, unless there is a route for HEAD.
    ///
    /// # Errors
    ///
    /// If the methods or the pattern are malformed, or a route for one of the methods and the same pattern exists already.
    ///
    /// # Limits
    ///
    /// A compiled regular expression has at most 1 MiB.
    pub fn add(&mut self, methods: &str, pattern: &str, value: T) -> Result<(), RouteError>
    where
        T: Clone,
    {
        let methods = Methods::parse(methods)?;
        let parsed = RoutePattern::parse(pattern)?;
        let names = match &parsed {
            RoutePattern::Plain { names, .. } | RoutePattern::Regex { names, .. } => {
                Rc::clone(names)
            }
        };
        let index = self.index(parsed, pattern)?;
        let custom_methods = &mut self.custom_methods;
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return Ok(());
        };
        let taken = |method: &str| RouteError::Exists {
            pattern: pattern.into(),
            method: method.into(),
        };
        match methods {
            Methods::Any if endpoint.any.is_some() => return Err(taken("ALL")),
            Methods::Any => endpoint.any = Some(RouteEntry { value, names }),
            Methods::Some(methods) => {
                if let Some(method) = methods.iter().find(|m| endpoint.exact(m).is_some()) {
                    return Err(taken(method.as_str()));
                }
                for method in methods {
                    if !methods::is_standard(&method) && !custom_methods.contains(&method) {
                        custom_methods.push(method.clone());
                    }
                    let entry = RouteEntry {
                        value: value.clone(),
                        names: Rc::clone(&names),
                    };
                    endpoint.by_method.push((method, entry));
                }
            }
        }
        Ok(())
    }

    /// Returns the index of a pattern, which is added if it does not exist.
    fn index(&mut self, parsed: RoutePattern, pattern: &str) -> Result<usize, RouteError> {
        let next = self.endpoints.len();
        let index = match parsed {
            RoutePattern::Plain { key, .. } => {
                let slot = self.tree.slot(&key);
                match *slot {
                    Some(index) => index,
                    None => {
                        add_affixes(&mut self.affixes, &key, next).map_err(|other| {
                            let other = self.endpoints.get(other);
                            let other = other.map_or("", |endpoint| &endpoint.pattern);
                            let reason = format!(
                                "it conflicts with the route {other}: neither is more specific; a regular expression can be added instead"
                            );
                            RouteError::Pattern {
                                pattern: pattern.into(),
                                reason: reason.into(),
                            }
                        })?;
                        *slot.insert(next)
                    }
                }
            }
            RoutePattern::Regex { regex, .. } => {
                let same = |(other, _): &&(Expression, _)| other.as_str() == regex.as_str();
                let found = self.regexes.iter().find(same).map(|(_, index)| *index);
                found.unwrap_or_else(|| {
                    self.regexes.push((regex, next));
                    next
                })
            }
        };
        if index == next {
            self.endpoints.push(RouteEndpoint {
                pattern: pattern.into(),
                by_method: Vec::new(),
                any: None,
            });
        }
        Ok(index)
    }

    /// Returns the value for a method and a pattern without parameters that is equal to the path as it was sent. This is the fast path for most
    /// requests.
    #[inline(always)]
    pub(crate) fn find_exact(&self, method: &Method, path: &[u8]) -> Option<&T> {
        let endpoint = self.endpoints.get(self.tree.find_text(path)?)?;
        Some(&endpoint.exact(method)?.value)
    }

    /// Finds the route for a method and a path as it was sent, without the query.
    pub fn find(&self, method: &Method, path: &str) -> RouteMatch<'_, T> {
        match path::normalized(path) {
            Ok(normal) => self.find_normal(method, path.as_bytes(), normal.as_bytes()),
            Err(path::BadEscape) => RouteMatch::BadPath,
        }
    }

    /// Finds the route as [`find`](Router::find) does, for a path whose normal form is known. The parameters refer to `path`.
    pub(crate) fn find_normal(
        &self,
        method: &Method,
        path: &[u8],
        normal: &[u8],
    ) -> RouteMatch<'_, T> {
        let mut spans = Spans::default();
        let found = self.tree.find(normal, &mut spans);
        if let Some(endpoint) = found.and_then(|index| self.endpoints.get(index)) {
            return match endpoint.entry(method) {
                Some(entry) => {
                    let values = spans.texts(normal).map(|raw| ParamValue::of(path, raw));
                    entry.with(values.take(entry.names.len()))
                }
                None => self.without_route(method, endpoint.methods()),
            };
        }
        if path == b"*" && method == Method::OPTIONS {
            return self.without_route(method, self.all_methods());
        }
        self.find_regex(method, path, normal)
    }

    fn find_regex(&self, method: &Method, path: &[u8], normal: &[u8]) -> RouteMatch<'_, T> {
        let normal = str::from_utf8(normal).unwrap_or_default();
        let mut methods: Vec<&Method> = Vec::new();
        let mut matched = false;
        for (regex, index) in &self.regexes {
            if !regex.is_match(normal) {
                continue;
            }
            let Some(endpoint) = self.endpoints.get(*index) else {
                continue;
            };
            if let Some(entry) = endpoint.entry(method) {
                let Some(groups) = regex.groups(normal) else {
                    continue;
                };
                let values = entry.names.iter().map(|name| match groups.name(name) {
                    Some(group) => ParamValue::of(path, group.as_bytes()),
                    None => Ok(ParamValue::ABSENT),
                });
                return entry.with(values);
            }
            matched = true;
            methods.extend(endpoint.methods());
        }
        if matched {
            return self.without_route(method, methods);
        }
        if self.is_known(method) {
            RouteMatch::NotFound
        } else {
            RouteMatch::UnknownMethod
        }
    }

    /// Returns whether the path has a route for any method.
    pub fn has_path(&self, path: &str) -> bool {
        path::normalized(path).is_ok_and(|path| {
            let found = self.tree.find(path.as_bytes(), &mut Spans::default());
            found.is_some() || self.regexes.iter().any(|(r, _)| r.is_match(&path))
        })
    }

    fn is_known(&self, method: &Method) -> bool {
        methods::is_standard(method) || self.custom_methods.contains(method)
    }

    /// Returns the result for a path that has routes for `methods`, but none for `method`.
    fn without_route<'m>(
        &self,
        method: &Method,
        methods: impl IntoIterator<Item = &'m Method>,
    ) -> RouteMatch<'_, T> {
        if !self.is_known(method) {
            return RouteMatch::UnknownMethod;
        }
        let mut all: Vec<&Method> = Vec::new();
        for name in methods {
            let get = (name == Method::GET).then_some(&Method::HEAD);
            for name in std::iter::once(name).chain(get) {
                if !all.contains(&name) {
                    all.push(name);
                }
            }
        }
        if !all.contains(&&Method::OPTIONS) {
            all.push(&Method::OPTIONS);
        }
        let allow = methods::allow(all);
        if method == Method::OPTIONS {
            RouteMatch::Options { allow }
        } else {
            RouteMatch::MethodNotAllowed { allow }
        }
    }

    fn all_methods(&self) -> impl Iterator<Item = &Method> {
        self.endpoints.iter().flat_map(RouteEndpoint::methods)
    }
}

impl<T> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("patterns", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}

impl<T> RouteEndpoint<T> {
    fn exact(&self, method: &Method) -> Option<&RouteEntry<T>> {
        self.by_method
            .iter()
            .find_map(|(m, entry)| (m == method).then_some(entry))
    }

    fn entry(&self, method: &Method) -> Option<&RouteEntry<T>> {
        self.exact(method)
            .or_else(|| {
                let head = method == Method::HEAD;
                head.then(|| self.exact(&Method::GET)).flatten()
            })
            .or_else(|| {
                let any = method != Method::CONNECT;
                any.then_some(self.any.as_ref()).flatten()
            })
    }

    fn methods(&self) -> impl Iterator<Item = &Method> {
        self.by_method.iter().map(|(method, _)| method)
    }
}

impl<T> RouteEntry<T> {
    fn with(
        &self,
        values: impl Iterator<Item = Result<ParamValue, std::str::Utf8Error>>,
    ) -> RouteMatch<'_, T> {
        if self.names.is_empty() {
            return RouteMatch::Route {
                value: &self.value,
                params: Params::default(),
            };
        }
        let mut bad = false;
        let values = values.map_while(|value| {
            bad |= value.is_err();
            value.ok()
        });
        let params = Params::new(Rc::clone(&self.names), values);
        if bad {
            return RouteMatch::BadPath;
        }
        RouteMatch::Route {
            value: &self.value,
            params,
        }
    }
}

/// A parameter with text before or after it in its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Affix {
    prefix: Box<str>,
    suffix: Box<str>,
    /// `true` if the pattern ends with `{*name}`.
    is_open: bool,
    /// The index of the pattern.
    index: usize,
}

impl Affix {
    /// Returns whether a segment can match both parameters and neither is more specific.
    fn conflicts(&self, other: &Affix) -> bool {
        let same = self.prefix == other.prefix && self.suffix == other.suffix;
        let crossed = |one: &Affix, two: &Affix| !one.prefix.is_empty() && !two.suffix.is_empty();
        !same && self.is_open == other.is_open && (crossed(self, other) || crossed(other, self))
    }
}

/// Registers the parameters of a pattern that have text before or after them in their segment.
///
/// # Errors
/// The index of a conflicting pattern.
fn add_affixes(
    all: &mut HashMap<Box<str>, Vec<Affix>>,
    key: &str,
    index: usize,
) -> Result<(), usize> {
    let mut added = Vec::new();
    let mut start = 0;
    for segment in key.split_inclusive('/') {
        let before = &key[..start];
        start += segment.len();
        let (prefix, parameter) = segment.split_at(segment.find('{').unwrap_or(segment.len()));
        let Some((name, suffix)) = parameter.split_once('}') else {
            continue;
        };
        let suffix = suffix.strip_suffix('/').unwrap_or(suffix);
        if name.starts_with("{*") || (prefix.is_empty() && suffix.is_empty()) {
            continue;
        }
        let affix = Affix {
            prefix: prefix.into(),
            suffix: suffix.into(),
            is_open: key.contains("{*"),
            index,
        };
        let mut others = all.get(before).into_iter().flatten();
        if let Some(other) = others.find(|other| affix.conflicts(other)) {
            return Err(other.index);
        }
        added.push((before, affix));
    }
    for (before, affix) in added {
        all.entry(before.into()).or_default().push(affix);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
