//! Why a connection closes (RFC 6455, 7.4).

use std::fmt;

use bytes::{Buf, Bytes};

use super::frame::{self, Flags, Opcode};
use super::invalid::Invalid;
use crate::Text;

/// The most bytes in the reason of a close frame, which is a control frame with a code of two bytes.
pub const MAX_REASON: usize = frame::MAX_CONTROL - 2;

/// The code that says why a connection closes.
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
    /// 1002: the other side broke the rules of the protocol.
    pub const PROTOCOL: CloseCode = CloseCode(1002);
    /// 1003: a message of a kind that is not taken, such as bytes where text is expected.
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1005: the close frame had no code. It is never sent.
    pub const NO_STATUS: CloseCode = CloseCode(1005);
    /// 1006: there was no close frame. It is never sent.
    pub const ABNORMAL: CloseCode = CloseCode(1006);
    /// 1007: the data is not what it says, such as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode(1007);
    /// 1008: a message is against the rules of the one who closes.
    pub const POLICY: CloseCode = CloseCode(1008);
    /// 1009: a message is too big.
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the server did not agree on an extension that the client needs.
    pub const EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: something unexpected kept the server from going on.
    pub const INTERNAL: CloseCode = CloseCode(1011);
    /// 1012: the server restarts.
    pub const RESTART: CloseCode = CloseCode(1012);
    /// 1013: the server has too much to do; come again later.
    pub const TRY_AGAIN: CloseCode = CloseCode(1013);
    /// 1014: the server is a gateway and got no valid answer.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// Whether it may stand in a close frame: 1000–1003, 1007–1014, or 3000–4999, which are for libraries and programs.
    /// Those that a connection closes with without such a frame (1005, 1006, 1015), and those that nobody has defined,
    /// may not.
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The number.
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

/// What a close frame says (RFC 6455, 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why the connection closes.
    pub code: CloseCode,
    /// The same in words, for a log. At most [`MAX_REASON`] bytes are sent.
    pub reason: Text,
}

impl CloseFrame {
    /// What a close frame says.
    pub fn new(code: CloseCode, reason: impl Into<Text>) -> CloseFrame {
        CloseFrame {
            code,
            reason: reason.into(),
        }
    }

    /// What is in the payload of a close frame, or none if it is empty.
    pub(super) fn parse(mut payload: Bytes) -> Result<Option<CloseFrame>, Invalid> {
        if payload.is_empty() {
            return Ok(None);
        }
        let code = CloseCode(
            payload
                .try_get_u16()
                .map_err(|_| Invalid::protocol("a close frame has half of a code"))?,
        );
        if !code.is_sendable() {
            return Err(Invalid::protocol(
                "a close frame has a code it may not have",
            ));
        }
        let reason = Text::try_from(payload).map_err(|_| Invalid::UTF8)?;
        Ok(Some(CloseFrame { code, reason }))
    }
}

/// Appends a close frame. One that says nothing, or has a code that may not be sent, has no payload; a reason that is too
/// long is cut behind a character.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::{CloseCode, CloseFrame, close};
///
/// let mut out = Vec::new();
/// close::append(&mut out, Some(&CloseFrame::new(CloseCode::NORMAL, "bye")), None);
/// assert_eq!(out, b"\x88\x05\x03\xe8bye");
/// ```
pub fn append(out: &mut Vec<u8>, says: Option<&CloseFrame>, mask: Option<[u8; 4]>) {
    let mut payload = [0; frame::MAX_CONTROL];
    let length = match says {
        Some(CloseFrame { code, reason }) if code.is_sendable() => {
            let reason = cut(reason.as_str()).as_bytes();
            payload[..2].copy_from_slice(&code.0.to_be_bytes());
            payload[2..2 + reason.len()].copy_from_slice(reason);
            2 + reason.len()
        }
        _ => 0,
    };
    frame::append(out, Opcode::Close, Flags::FIN, mask, &payload[..length]);
}

/// As much of a reason as there is room for.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(payload: &'static [u8]) -> Result<Option<CloseFrame>, CloseCode> {
        CloseFrame::parse(Bytes::from_static(payload)).map_err(|invalid| invalid.code())
    }

    #[test]
    fn each_code_may_be_sent_or_not() {
        let sendable: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode(code).is_sendable())
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn a_payload_is_nothing_or_a_code_and_text() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(CloseCode::PROTOCOL));
        assert_eq!(parse(b"\x03\xed"), Err(CloseCode::PROTOCOL));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(CloseCode::INVALID_DATA));
        let says = CloseFrame::new(CloseCode::NORMAL, "ok");
        assert_eq!(parse(b"\x03\xe8ok"), Ok(Some(says)));
    }

    #[test]
    fn a_reason_is_cut_behind_a_character() {
        let mut out = Vec::new();
        let says = CloseFrame::new(CloseCode::NORMAL, "ä".repeat(62));
        append(&mut out, Some(&says), None);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(&out[4..], "ä".repeat(61).as_bytes());
    }

    #[test]
    fn a_code_that_may_not_be_sent_is_not() {
        for says in [None, Some(CloseFrame::new(CloseCode::NO_STATUS, "x"))] {
            let mut out = Vec::new();
            append(&mut out, says.as_ref(), None);
            assert_eq!(out, b"\x88\0");
        }
    }
}
