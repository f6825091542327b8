//! Percent-encoding.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters besides `unreserved` and `sub-delims` that a path may contain.
pub(super) const PATH: &[u8] = b"/:@";
/// Characters besides `unreserved` and `sub-delims` that a query or a fragment may contain.
pub(super) const QUERY: &[u8] = b"/:@?";

/// All characters but `unreserved`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Returns `true` for the characters `unreserved` and `sub-delims` of RFC 3986.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

/// The bytes of a path and its query that are kept as they are, except percent signs: a question mark begins or is part of the query.
const LITERAL: [bool; 256] = {
    let mut literal = [false; 256];
    let allowed = b"-._~!$&'()*+,;=/:@?";
    let mut position = 0;
    while position < allowed.len() {
        literal[allowed[position] as usize] = true;
        position += 1;
    }
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            literal[byte] = true;
        }
        byte += 1;
    }
    literal
};

/// Returns `true` for the bytes of a path and its query that are neither encoded nor percent signs.
pub(super) fn is_literal(byte: u8) -> bool {
    LITERAL[usize::from(byte)]
}

/// Returns `true` if `bytes` begin with a percent sign and two hexadecimal digits.
pub(super) fn is_encoded_byte(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Appends `bytes`, percent-encoding all bytes that the syntax does not allow.
pub(super) fn push(text: &mut String, bytes: &[u8], also_allowed: &[u8]) {
    for (position, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) || also_allowed.contains(&byte) || is_encoded_byte(&bytes[position..]) {
            text.push(byte.into());
        } else {
            text.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
}

/// Appends the name or the value of a query parameter.
pub(crate) fn push_component(text: &mut String, component: &str) {
    text.extend(utf8_percent_encode(component, COMPONENT));
}
