//! Session errors.

/// The error for a session that is missing, or for a value that cannot be stored in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The route has no sessions.
    #[error(
        "reading the session failed: neither the route nor the server has the middleware `Sessions`"
    )]
    Missing,
    /// The value cannot be serialized as JSON.
    #[error("setting {name:?} in a session failed: {reason}")]
    Value {
        /// The name of the value.
        name: Box<str>,
        /// The reason.
        reason: Box<str>,
    },
    /// The values exceed the limit.
    #[error(
        "setting {name:?} in a session failed: its values would have {size} bytes, and the limit is {limit}"
    )]
    TooLarge {
        /// The name of the value.
        name: Box<str>,
        /// The size of the values as JSON, in bytes.
        size: usize,
        /// The limit, [`Sessions::max_size`](crate::Sessions::max_size).
        limit: usize,
    },
    /// The secret is too short.
    #[error(
        "creating a session key failed: the secret has {length} bytes; at least 32 are required"
    )]
    ShortKey {
        /// The number of bytes.
        length: usize,
    },
}
