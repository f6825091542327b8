//! Parsing of lines and numbers.

use super::ProtocolError;

/// Returns the length of the line at the start of `bytes`, without its CR LF, or `None` if the line is incomplete. The first `searched` bytes
/// have no CR.
#[inline]
pub(super) fn line_length(
    bytes: &[u8],
    searched: usize,
    limit: usize,
) -> Result<Option<usize>, ProtocolError> {
    let rest = bytes.get(searched..).unwrap_or_default();
    let length = match memchr::memchr(b'\r', rest) {
        Some(at) => searched + at,
        None => bytes.len(),
    };
    if length > limit {
        return Err(ProtocolError::LineTooLong { limit });
    }
    match bytes.get(length + 1) {
        Some(b'\n') => Ok(Some(length)),
        Some(_) => Err(ProtocolError::InvalidLine),
        None => Ok(None),
    }
}

/// Parses an integer in decimal digits, with an optional sign.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_i64;
    for digit in digits {
        let digit = i64::from(digit.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Negative numbers have the larger range.
        number = number.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative {
        Some(number)
    } else {
        number.checked_neg()
    }
}

/// A length in the header of a string or an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The length of RESP2 for null: -1.
    Null,
    Of(usize),
}

/// Parses a length.
#[inline]
pub(super) fn length(text: &[u8]) -> Result<Length, ProtocolError> {
    match text {
        b"-1" => return Ok(Length::Null),
        b"?" => return Err(ProtocolError::Streamed),
        [b'+' | b'-', ..] => return Err(ProtocolError::InvalidLength),
        _ => {}
    }
    let number = integer(text).and_then(|number| usize::try_from(number).ok());
    number.map(Length::Of).ok_or(ProtocolError::InvalidLength)
}

/// Parses a double: a decimal number, with or without an exponent, `inf`, `-inf` or `nan`.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    match text {
        b"inf" | b"+inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        b"nan" | b"-nan" => Some(f64::NAN),
        _ if text
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
        {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Returns `true` for decimal digits with an optional sign.
pub(super) fn is_big_number(text: &[u8]) -> bool {
    let digits = text
        .strip_prefix(b"-")
        .or(text.strip_prefix(b"+"))
        .unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_the_range_of_64_bits() {
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(integer(b"+7"), Some(7));
        for text in [
            "",
            "-",
            "+",
            "9223372036854775808",
            "-9223372036854775809",
            "1a",
            " 1",
            "1 ",
            "--1",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_length_is_a_number_or_minus_one() {
        assert_eq!(length(b"12"), Ok(Length::Of(12)));
        assert_eq!(length(b"-1"), Ok(Length::Null));
        assert_eq!(length(b"?"), Err(ProtocolError::Streamed));
        for text in ["", "-2", "+1", "x", "99999999999999999999"] {
            assert_eq!(
                length(text.as_bytes()),
                Err(ProtocolError::InvalidLength),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_line_ends_with_cr_lf() {
        assert_eq!(line_length(b"ab\r\n", 0, 9), Ok(Some(2)));
        assert_eq!(line_length(b"ab\r", 2, 9), Ok(None));
        assert_eq!(line_length(b"ab", 0, 9), Ok(None));
        assert_eq!(line_length(b"ab\rc", 0, 9), Err(ProtocolError::InvalidLine));
        assert_eq!(
            line_length(b"abc", 0, 2),
            Err(ProtocolError::LineTooLong { limit: 2 })
        );
    }
}
