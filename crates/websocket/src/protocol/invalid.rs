//! Protocol violations.

use super::close_code::CloseCode;

/// A protocol violation by the peer: the code and the reason of the close frame to send. Bytes
/// after it are not decoded (RFC 6455, section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    code: CloseCode,
    reason: &'static str,
}

impl Invalid {
    /// Returns the close code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Returns the reason, for a log or a close frame.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub(super) const fn new(code: CloseCode, reason: &'static str) -> Invalid {
        Invalid { code, reason }
    }

    /// Creates a violation with the close code 1002.
    pub(super) const fn protocol(reason: &'static str) -> Invalid {
        Invalid::new(CloseCode::PROTOCOL, reason)
    }

    pub(super) const UTF8: Invalid = Invalid::new(CloseCode::INVALID_DATA, "text is not UTF-8");
    pub(super) const TOO_BIG: Invalid =
        Invalid::new(CloseCode::TOO_BIG, "a message is longer than allowed");
    pub(super) const FRAGMENTS: Invalid = Invalid::new(
        CloseCode::TOO_BIG,
        "a message has more fragments than allowed",
    );
    pub(super) const DEFLATE: Invalid = Invalid::new(
        CloseCode::INVALID_DATA,
        "a compressed message cannot be inflated",
    );
}
