//! Why a route cannot be added.

/// Why a route cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// What stands for the methods is not a list of methods.
    #[error("adding a route failed: \"{methods}\" is not a list of methods such as GET|POST")]
    Method {
        /// What was given.
        methods: Box<str>,
    },
    /// The pattern is malformed.
    #[error("adding the route {pattern} failed: {why}")]
    Pattern {
        /// The pattern.
        pattern: Box<str>,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// There is a route for the method and the pattern.
    #[error("adding the route {pattern} failed: {method} has a route there")]
    Taken {
        /// The pattern.
        pattern: Box<str>,
        /// The method, or `ALL`.
        method: Box<str>,
    },
}
