//! Integers with a prefix of one to seven bits (RFC 7541, 5.1), of at most 32 bits.

use super::DecodeError;

/// Appends an integer after `flags`, which are the bits above the prefix.
#[inline]
pub(super) fn encode(value: usize, prefix: u32, flags: u8, out: &mut Vec<u8>) {
    let max = (1 << prefix) - 1;
    if value < max {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Decodes an integer whose first byte is `first`, and removes its other bytes from `input`.
#[inline]
pub(super) fn decode(first: u8, prefix: u32, input: &mut &[u8]) -> Result<usize, DecodeError> {
    let max = (1 << prefix) - 1;
    let value = usize::from(first) & max;
    if value < max {
        return Ok(value);
    }
    decode_continuation(max, input)
}

fn decode_continuation(prefix: usize, input: &mut &[u8]) -> Result<usize, DecodeError> {
    let mut value = prefix as u64;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
        *input = rest;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| DecodeError::IntegerTooLarge)?;
            return Ok(value as usize);
        }
    }
    Err(DecodeError::IntegerTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: usize, prefix: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, prefix, 0, &mut out);
        out
    }

    fn decoded(bytes: &[u8], prefix: u32) -> Result<usize, DecodeError> {
        let mut rest = &bytes[1..];
        let value = decode(bytes[0], prefix, &mut rest)?;
        assert!(rest.is_empty());
        Ok(value)
    }

    #[test]
    fn the_examples_of_the_rfc_are_encoded_and_decoded() {
        for (value, prefix, bytes) in [
            (10, 5, &[0b01010][..]),
            (1337, 5, &[0b11111, 0b1001_1010, 0b0000_1010]),
            (42, 7, &[0b0010_1010]),
        ] {
            assert_eq!(encoded(value, prefix), bytes);
            assert_eq!(decoded(bytes, prefix), Ok(value));
        }
    }

    #[test]
    fn integers_around_the_boundaries_survive_a_round_trip() {
        for prefix in 4..=7 {
            for boundary in [
                0,
                14,
                15,
                30,
                62,
                126,
                127,
                128,
                254,
                16_383,
                1 << 21,
                u32::MAX as usize - 2,
            ] {
                for value in boundary..boundary + 3 {
                    assert_eq!(decoded(&encoded(value, prefix), prefix), Ok(value));
                }
            }
        }
    }

    #[test]
    fn integers_above_32_bits_are_refused() {
        let above = encoded(u32::MAX as usize + 1, 7);
        assert_eq!(decoded(&above, 7), Err(DecodeError::IntegerTooLarge));
        let padded = [0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(decoded(&padded, 7), Err(DecodeError::IntegerTooLarge));
        let largest = [0xff; 12];
        assert_eq!(decoded(&largest, 7), Err(DecodeError::IntegerTooLarge));
    }

    #[test]
    fn an_unfinished_integer_is_truncated() {
        assert_eq!(decoded(&[0x7f], 7), Err(DecodeError::Truncated));
        assert_eq!(decoded(&[0x7f, 0x80, 0x80], 7), Err(DecodeError::Truncated));
    }
}
