//! Configuration errors.

/// The error for an origin, a method or a header that a [`Cors`](crate::Cors) cannot allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowing the {kind} {value:?} for CORS failed: {reason}")]
pub struct CorsError {
    kind: &'static str,
    value: Box<str>,
    reason: Box<str>,
}

impl CorsError {
    pub(super) fn new(kind: &'static str, value: &str, reason: impl Into<Box<str>>) -> Self {
        CorsError {
            kind,
            value: value.into(),
            reason: reason.into(),
        }
    }
}
