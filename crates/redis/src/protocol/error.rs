//! Errors of the decoder.

/// The reason why received bytes are not a valid RESP value, or exceed a limit.
///
/// The decoder cannot continue after an error, because it cannot find the start of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A value starts with a byte that is not a type of RESP.
    #[error("0x{0:02x} is not a type of RESP")]
    UnknownType(u8),
    /// A line does not end with CR LF, or has a CR or LF inside.
    #[error("a line does not end with CR LF")]
    InvalidLine,
    /// A line is longer than [`Limits::line`](crate::protocol::Limits::line).
    #[error("a line is longer than {limit} bytes")]
    LineTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// An integer, a double, a big number, a boolean, a null or a verbatim string is malformed.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A length is negative, not a number, or too large for this machine.
    #[error("a length is invalid")]
    InvalidLength,
    /// A string is longer than [`Limits::bulk`](crate::protocol::Limits::bulk).
    #[error("a string of {size} bytes exceeds the limit of {limit} bytes")]
    BulkTooLarge {
        /// The announced size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A value has more than [`Limits::elements`](crate::protocol::Limits::elements) elements, including nested ones.
    #[error("a value has more than {limit} elements")]
    TooManyElements {
        /// The limit.
        limit: usize,
    },
    /// A value is larger than [`Limits::total`](crate::protocol::Limits::total).
    #[error("a value is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A value is nested more deeply than [`Limits::depth`](crate::protocol::Limits::depth).
    #[error("a value is nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A value has a streamed type, which no server sends and this decoder does not support.
    #[error("streamed values are not supported")]
    Streamed,
    /// A push message is inside another value.
    #[error("a push message is inside another value")]
    NestedPush,
}
