//! The table of routes.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::expression::Expression;
use super::methods::{self, Methods};
use super::params::{Params, Value};
use super::pattern::Pattern;
use super::tree::{Spans, Tree};
use super::{RouteError, path};
use crate::Method;

/// A table of routes: patterns of paths, and for each pattern a value per method.
///
/// A pattern is a path in which `{name}` stands for one segment or the rest of one, and `{*name}`, at the end, for the
/// rest of the path, which may be empty: `/files/{*path}` matches `/files/`, but not `/files`. If a pattern has one of the characters
/// `()[]*+?^$|\` outside of braces, it is a regular expression that the whole path has to match; its named groups are parameters, too. Regular expressions need
/// the feature `regex`.
///
/// Of the patterns that match a path the more specific wins: where two of them differ first, text goes before `{name}`
/// and that before `{*name}`, and regular expressions come last. The order in which they were added matters among regular expressions only: there the first wins that
/// has the method.
///
/// A segment has one parameter. Where one pattern has text before its parameter and another one has text behind it, as in
/// `/img-{id}` and `/{id}.png`, neither is the more specific, and the second one is refused.
///
/// Paths are compared in their normal form: each byte that may stand in a path is itself, each other one is an escape with
/// capital digits. So `/%40a` is `/@a`, and a pattern matches every spelling of its paths. An escaped slash does not end a
/// segment, and a path with a slash at its end is another path. Regular expressions match the normal form, in which `é` is
/// `%C3%A9` and a space is `%20`. Parameters are decoded once, after that: `{name}` may have a slash in it, and in `{*name}` an
/// escaped slash looks like any other. Where the difference matters, read the path itself.
///
/// # Examples
///
/// ```
/// use uptick_http::Method;
/// use uptick_http::router::{Found, Router};
///
/// let mut router = Router::new();
/// router.add("GET", "/users/{id}", "a user")?;
/// router.add("GET", "/users/new", "a form")?;
///
/// let path = "/users/J%C3%BCrgen";
/// let Found::Route { value, params } = router.find(&Method::GET, path) else { panic!() };
/// assert_eq!((*value, params.get(path, "id")), ("a user", Some("Jürgen")));
/// # Ok::<(), uptick_http::router::RouteError>(())
/// ```
#[derive(Clone)]
pub struct Router<T> {
    tree: Tree,
    regexes: Vec<(Expression, usize)>,
    /// The parameters with text before or behind them in their segment, by what is before that segment.
    affixes: HashMap<Box<str>, Vec<Affix>>,
    endpoints: Vec<Endpoint<T>>,
    /// Methods that a route names and that not every server knows.
    extra: Vec<Method>,
}

#[derive(Clone)]
struct Endpoint<T> {
    /// The pattern as it was given first.
    pattern: Box<str>,
    by_method: Vec<(Method, Entry<T>)>,
    any: Option<Entry<T>>,
}

#[derive(Clone)]
struct Entry<T> {
    value: T,
    names: Rc<[Box<str>]>,
}

/// What a [`Router`] says about a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Found<'a, T> {
    /// There is a route.
    Route {
        /// What was added for it.
        value: &'a T,
        /// The parameters of its pattern.
        params: Params,
    },
    /// There is a path but no route for OPTIONS: the answer is 204 with this `Allow`.
    Options {
        /// The methods, separated by commas.
        allow: String,
    },
    /// There is a path but no route for the method: 405 with this `Allow`.
    MethodNotAllowed {
        /// The methods, separated by commas.
        allow: String,
    },
    /// There is no such path: 404.
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
            extra: Vec::new(),
        }
    }
}

impl<T> Router<T> {
    /// A table without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route: `methods` are separated by `|`, as in `GET|POST`; `ALL` stands for every method except CONNECT.
    ///
    /// A route for GET answers HEAD, too, unless another one does.
    ///
    /// # Errors
    ///
    /// If the methods or the pattern are malformed, or there is a route for one of the methods and the same pattern.
    ///
    /// # Limits
    ///
    /// A regular expression takes at most 1 MiB when compiled.
    pub fn add(&mut self, methods: &str, pattern: &str, value: T) -> Result<(), RouteError>
    where
        T: Clone,
    {
        let methods = Methods::parse(methods)?;
        let parsed = Pattern::parse(pattern)?;
        let names = match &parsed {
            Pattern::Plain { names, .. } | Pattern::Regex { names, .. } => Rc::clone(names),
        };
        let index = self.index(parsed, pattern)?;
        let extra = &mut self.extra;
        let Some(endpoint) = self.endpoints.get_mut(index) else {
            return Ok(());
        };
        let taken = |method: &str| RouteError::Taken {
            pattern: pattern.into(),
            method: method.into(),
        };
        match methods {
            Methods::Any if endpoint.any.is_some() => return Err(taken("ALL")),
            Methods::Any => endpoint.any = Some(Entry { value, names }),
            Methods::Some(methods) => {
                if let Some(method) = methods.iter().find(|m| endpoint.exact(m).is_some()) {
                    return Err(taken(method.as_str()));
                }
                for method in methods {
                    if !methods::is_standard(&method) && !extra.contains(&method) {
                        extra.push(method.clone());
                    }
                    let entry = Entry {
                        value: value.clone(),
                        names: Rc::clone(&names),
                    };
                    endpoint.by_method.push((method, entry));
                }
            }
        }
        Ok(())
    }

    /// Returns the index of a pattern, which is added if need be.
    fn index(&mut self, parsed: Pattern, pattern: &str) -> Result<usize, RouteError> {
        let next = self.endpoints.len();
        let index = match parsed {
            Pattern::Plain { key, .. } => {
                let place = self.tree.place(&key);
                match *place {
                    Some(index) => index,
                    None => {
                        add_affixes(&mut self.affixes, &key, next).map_err(|other| {
                            let other = self.endpoints.get(other);
                            let other = other.map_or("", |endpoint| &endpoint.pattern);
                            let why = format!(
                                "the route {other} is in its way; as a regular expression it may follow that"
                            );
                            RouteError::Pattern {
                                pattern: pattern.into(),
                                why: why.into(),
                            }
                        })?;
                        *place.insert(next)
                    }
                }
            }
            Pattern::Regex { regex, .. } => {
                let same = |(other, _): &&(Expression, _)| other.as_str() == regex.as_str();
                let found = self.regexes.iter().find(same).map(|(_, index)| *index);
                found.unwrap_or_else(|| {
                    self.regexes.push((regex, next));
                    next
                })
            }
        };
        if index == next {
            self.endpoints.push(Endpoint {
                pattern: pattern.into(),
                by_method: Vec::new(),
                any: None,
            });
        }
        Ok(index)
    }

    /// Returns what was added for a method and a pattern that is the path itself, as it was sent: for most requests this is
    /// all, and there are no parameters.
    #[inline(always)]
    pub(crate) fn find_exact(&self, method: &Method, path: &[u8]) -> Option<&T> {
        let endpoint = self.endpoints.get(self.tree.find_text(path)?)?;
        Some(&endpoint.exact(method)?.value)
    }

    /// What there is for a method and a path as it was sent, without the query.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_, T> {
        match path::normalised(path) {
            Ok(normal) => self.find_normal(method, path.as_bytes(), normal.as_bytes()),
            Err(path::BadEscape) => Found::BadPath,
        }
    }

    /// [`find`](Router::find) for a path whose normal form is known. The parameters are those of `path`.
    pub(crate) fn find_normal(&self, method: &Method, path: &[u8], normal: &[u8]) -> Found<'_, T> {
        let mut spans = Spans::default();
        let found = self.tree.find(normal, &mut spans);
        if let Some(endpoint) = found.and_then(|index| self.endpoints.get(index)) {
            return match endpoint.entry(method) {
                Some(entry) => {
                    let values = spans.texts(normal).map(|raw| Value::of(path, raw));
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

    fn find_regex(&self, method: &Method, path: &[u8], normal: &[u8]) -> Found<'_, T> {
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
                    Some(group) => Value::of(path, group.as_bytes()),
                    None => Ok(Value::ABSENT),
                });
                return entry.with(values);
            }
            matched = true;
            methods.extend(endpoint.methods());
        }
        if matched {
            return self.without_route(method, methods);
        }
        if self.knows(method) {
            Found::NotFound
        } else {
            Found::UnknownMethod
        }
    }

    /// Whether the path has a route for the method or another one.
    pub fn has_path(&self, path: &str) -> bool {
        path::normalised(path).is_ok_and(|path| {
            let found = self.tree.find(path.as_bytes(), &mut Spans::default());
            found.is_some() || self.regexes.iter().any(|(r, _)| r.is_match(&path))
        })
    }

    fn knows(&self, method: &Method) -> bool {
        methods::is_standard(method) || self.extra.contains(method)
    }

    /// The answer where there are routes for `methods`, but none for `method`.
    fn without_route<'m>(
        &self,
        method: &Method,
        methods: impl IntoIterator<Item = &'m Method>,
    ) -> Found<'_, T> {
        if !self.knows(method) {
            return Found::UnknownMethod;
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
            Found::Options { allow }
        } else {
            Found::MethodNotAllowed { allow }
        }
    }

    fn all_methods(&self) -> impl Iterator<Item = &Method> {
        self.endpoints.iter().flat_map(Endpoint::methods)
    }
}

impl<T> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("patterns", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}

impl<T> Endpoint<T> {
    fn exact(&self, method: &Method) -> Option<&Entry<T>> {
        self.by_method
            .iter()
            .find_map(|(m, entry)| (m == method).then_some(entry))
    }

    fn entry(&self, method: &Method) -> Option<&Entry<T>> {
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

impl<T> Entry<T> {
    fn with(
        &self,
        values: impl Iterator<Item = Result<Value, std::str::Utf8Error>>,
    ) -> Found<'_, T> {
        if self.names.is_empty() {
            return Found::Route {
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
            return Found::BadPath;
        }
        Found::Route {
            value: &self.value,
            params,
        }
    }
}

/// A parameter with text before or behind it in its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Affix {
    prefix: Box<str>,
    suffix: Box<str>,
    /// Whether the pattern ends with `{*name}`.
    is_open: bool,
    /// The pattern.
    index: usize,
}

impl Affix {
    /// Returns whether one segment may match both parameters, of which neither is the more specific.
    fn conflicts(&self, other: &Affix) -> bool {
        let same = self.prefix == other.prefix && self.suffix == other.suffix;
        let crossed = |one: &Affix, two: &Affix| !one.prefix.is_empty() && !two.suffix.is_empty();
        !same && self.is_open == other.is_open && (crossed(self, other) || crossed(other, self))
    }
}

/// Notes the parameters of a pattern that have text before or behind them in their segment; fails with a pattern that has one which
/// cannot be told apart.
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
