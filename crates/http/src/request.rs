//! A request as handlers get it.

use crate::Method;
use crate::router::Params;

/// A request.
#[derive(Debug)]
pub struct Request {
    method: Method,
    path: Box<str>,
    query: Option<Box<str>>,
    params: Params,
}

impl Request {
    #[cfg(test)]
    pub(crate) fn for_test(method: Method, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Self {
            method,
            path: path.into(),
            query: query.map(Into::into),
            params: Params::default(),
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as it was sent, with its percent-encoding.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as it was sent, without the `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The decoded value of a parameter of the route's pattern.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(&self.path, name)
    }

    pub(crate) fn set_params(&mut self, params: Params) {
        self.params = params;
    }
}
