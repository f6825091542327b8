//! Errors of parameter and query extraction.

use std::fmt::{self, Display};

use uptick_emitter::Excerpt;

/// The error for route parameters or a query that are missing or have the wrong type.
///
/// Returned from a handler, it becomes a response with status 400 and this text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractError {
    from: ExtractFrom,
    name: Box<str>,
    reason: Box<str>,
}

/// The part of a request that values are extracted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtractFrom {
    /// The parameters of the route ([`Request::params`](crate::Request::params)).
    Params,
    /// The query ([`Request::query`](crate::Request::query)).
    Query,
}

impl ExtractError {
    pub(super) fn new(from: ExtractFrom, name: impl Into<Box<str>>, reason: impl Display) -> Self {
        ExtractError {
            from,
            name: name.into(),
            reason: Excerpt::new(reason).to_string().into(),
        }
    }

    /// Returns the part of the request that was read.
    pub fn from(&self) -> ExtractFrom {
        self.from
    }

    /// Returns the name of the invalid parameter; `None` if the error concerns all of them, for example if one is missing.
    pub fn name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty())
    }

    /// Returns the reason, truncated to 256 bytes, because it may quote the request.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl Display for ExtractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, all) = match self.from {
            ExtractFrom::Params => ("path parameter", "path parameters are"),
            ExtractFrom::Query => ("query parameter", "query is"),
        };
        match self.name() {
            Some(name) => {
                let name = Excerpt::new(name);
                write!(f, "the {one} \"{name}\" is not valid: {}", self.reason)
            }
            None => write!(f, "the {all} not valid: {}", self.reason),
        }
    }
}

impl std::error::Error for ExtractError {}
