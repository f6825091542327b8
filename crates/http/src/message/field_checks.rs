//! Checks of the names and values of fields.

use http::StatusCode;

use super::invalid::InvalidMessage;
use super::text;

/// Checks the name of a field that is not in the static table. The names of HTTP/2 are in lower case (RFC 9113, section 8.2).
#[inline]
pub(crate) fn check_name(name: &[u8]) -> Result<(), InvalidMessage> {
    match text::is_lower_case_token(name) {
        true => Ok(()),
        false => Err(InvalidMessage::bad("a header name is malformed")),
    }
}

/// Checks the value of a field (RFC 9113, section 8.2.1).
#[inline]
pub(crate) fn check_value(value: &[u8]) -> Result<(), InvalidMessage> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_space(value.first()) || is_space(value.last()) || !text::is_text(value) {
        return Err(InvalidMessage::bad(
            "a header value has characters that are not allowed there",
        ));
    }
    Ok(())
}

/// Parses the value of a `Content-Length`.
#[inline]
pub(crate) fn parse_length(value: &[u8]) -> Result<u64, InvalidMessage> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(InvalidMessage::bad("the Content-Length is not a number"));
    }
    let length = value.iter().try_fold(0u64, |length, digit| {
        length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    length.ok_or(InvalidMessage::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the Content-Length is too large",
    ))
}
