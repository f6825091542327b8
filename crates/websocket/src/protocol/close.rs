//! Close frames (RFC 6455, section 5.5.1).

use bytes::{Buf, Bytes};

use super::close_code::CloseCode;
use super::frame::{self, Flags, Opcode};
use super::invalid::Invalid;
use crate::Text;

/// Maximum length of the reason of a close frame, in bytes: a control frame minus the code of two bytes.
pub const MAX_REASON: usize = frame::MAX_CONTROL - 2;

/// The code and the reason of a close frame (RFC 6455, section 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The close code.
    pub code: CloseCode,
    /// The reason as text, for logs. At most [`MAX_REASON`] bytes are sent.
    pub reason: Text,
}

impl CloseFrame {
    /// Creates a close frame.
    pub fn new(code: CloseCode, reason: impl Into<Text>) -> CloseFrame {
        CloseFrame {
            code,
            reason: reason.into(),
        }
    }

    /// Parses the payload of a close frame; returns `None` if it is empty.
    pub(super) fn parse(mut payload: Bytes) -> Result<Option<CloseFrame>, Invalid> {
        if payload.is_empty() {
            return Ok(None);
        }
        let code = payload
            .try_get_u16()
            .map_err(|_| Invalid::protocol("a close frame has an incomplete code"))?;
        let code = CloseCode::from(code);
        if !code.is_sendable() {
            return Err(Invalid::protocol("a close frame has an invalid code"));
        }
        let reason = Text::try_from(payload).map_err(|_| Invalid::UTF8)?;
        Ok(Some(CloseFrame { code, reason }))
    }
}

/// Appends a close frame. Without a `frame`, or if its code may not be sent, the payload is empty. A reason that is too
/// long is truncated at a character boundary.
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
pub fn append(out: &mut Vec<u8>, frame: Option<&CloseFrame>, mask: Option<[u8; 4]>) {
    let mut payload = [0; frame::MAX_CONTROL];
    let length = match frame {
        Some(CloseFrame { code, reason }) if code.is_sendable() => {
            let reason = truncate(reason.as_str()).as_bytes();
            payload[..2].copy_from_slice(&code.as_u16().to_be_bytes());
            payload[2..2 + reason.len()].copy_from_slice(reason);
            2 + reason.len()
        }
        _ => 0,
    };
    frame::append(out, Opcode::Close, Flags::FIN, mask, &payload[..length]);
}

/// Truncates a reason to the maximum length.
fn truncate(reason: &str) -> &str {
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
    fn only_defined_codes_may_be_sent() {
        let sendable: Vec<u16> = (0..=u16::MAX)
            .filter(|&code| CloseCode::from(code).is_sendable())
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(sendable, expected);
    }

    #[test]
    fn a_payload_is_empty_or_a_code_and_text() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(CloseCode::PROTOCOL));
        assert_eq!(parse(b"\x03\xed"), Err(CloseCode::PROTOCOL));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(CloseCode::INVALID_DATA));
        let frame = CloseFrame::new(CloseCode::NORMAL, "ok");
        assert_eq!(parse(b"\x03\xe8ok"), Ok(Some(frame)));
    }

    #[test]
    fn a_reason_is_truncated_at_a_character_boundary() {
        let mut out = Vec::new();
        let frame = CloseFrame::new(CloseCode::NORMAL, "ä".repeat(62));
        append(&mut out, Some(&frame), None);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(&out[4..], "ä".repeat(61).as_bytes());
    }

    #[test]
    fn a_code_that_may_not_be_sent_is_omitted() {
        for frame in [None, Some(CloseFrame::new(CloseCode::NO_STATUS, "x"))] {
            let mut out = Vec::new();
            append(&mut out, frame.as_ref(), None);
            assert_eq!(out, b"\x88\0");
        }
    }
}
