//! Errors of the router.

/// The error for a route that cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The methods are not a list of methods.
    #[error("adding a route failed: \"{methods}\" is not a list of methods such as GET|POST")]
    Method {
        /// The list of methods.
        methods: Box<str>,
    },
    /// The pattern is malformed.
    #[error("adding the route {pattern} failed: {why}")]
    Pattern {
        /// The pattern.
        pattern: Box<str>,
        /// The reason.
        why: Box<str>,
    },
    /// A route for the method and the pattern exists already.
    #[error("adding the route {pattern} failed: there is already a route for {method}")]
    Taken {
        /// The pattern.
        pattern: Box<str>,
        /// The method, or `ALL`.
        method: Box<str>,
    },
}
