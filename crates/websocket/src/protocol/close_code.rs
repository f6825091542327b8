//! Close codes (RFC 6455, section 7.4).

use std::fmt;

/// The code of a close frame: the reason why the connection closes.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::CloseCode;
///
/// assert_eq!(CloseCode::from(1001), CloseCode::GOING_AWAY);
/// assert!(CloseCode::from(4000).is_sendable() && !CloseCode::NO_STATUS.is_sendable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: the server stops, or the browser leaves the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer violated the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// 1003: a message has an unsupported type, such as binary where text is expected.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1005: the close frame had no code. Never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: the connection ended without a close frame. Never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: a message has invalid data, such as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// 1008: a message violates the policy of the receiver.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the server did not negotiate an extension that the client requires.
    pub const EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: the server encountered an unexpected condition.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// 1012: the server restarts.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);
    /// 1014: the server is a gateway and received an invalid response.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// Returns `true` if the code may be sent in a close frame: 1000–1003, 1007–1014, or 3000–4999, which are for libraries and applications.
    /// Codes for a connection that closes without a close frame (1005, 1006, 1015) and undefined codes
    /// may not be sent.
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// Returns the number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> CloseCode {
        CloseCode(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
