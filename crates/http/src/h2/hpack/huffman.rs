//! The Huffman code of strings (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: codes of one length are consecutive and in the order of their symbols, so the lengths define it. Encoding
//! takes one look-up per byte. Decoding takes one look-up for one or two symbols with twelve bits together, which are the symbols of almost all
//! headers, and a search by length for the others.

use super::DecodeError;

/// The lengths of the codes of all bytes and of the end-of-string symbol, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The length of the shortest code, in bits.
const SHORTEST: usize = 5;
/// The length of the longest code, in bits.
const LONGEST: usize = 30;
/// The number of bits that one look-up decodes at most.
const SHORT: usize = 12;

static CANONICAL: Canonical = Canonical::new();

/// The tables that follow from [`LENGTHS`].
struct Canonical {
    /// The code of each byte with its length.
    codes: [(u32, u8); 256],
    /// The symbols at the beginning of each [`SHORT`] bits.
    short: [ShortSymbols; 1 << SHORT],
    /// All symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length, the first code, the index of its symbol, and the first value of [`LONGEST`] bits beyond the codes of this length.
    ranges: [(u32, u16, u32); LONGEST + 1],
}

impl Canonical {
    const fn new() -> Canonical {
        let mut canonical = Canonical {
            codes: [(0, 0); 256],
            short: [ShortSymbols::NONE; 1 << SHORT],
            symbols: [0; 257],
            ranges: [(0, 0, 0); LONGEST + 1],
        };
        let (mut code, mut count, mut length) = (0u32, 0, SHORTEST);
        while length <= LONGEST {
            canonical.ranges[length] = (code, count as u16, 0);
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    canonical.symbols[count] = symbol as u16;
                    if symbol < 256 {
                        canonical.codes[symbol] = (code, length as u8);
                    }
                    let mut rest = 0;
                    while length <= SHORT && rest < 1 << (SHORT - length) {
                        let beginning = (code as usize) << (SHORT - length) | rest;
                        canonical.short[beginning] = ShortSymbols::one(symbol as u8, length as u8);
                        rest += 1;
                    }
                    count += 1;
                    code += 1;
                }
                symbol += 1;
            }
            canonical.ranges[length].2 = code << (LONGEST - length);
            code <<= 1;
            length += 1;
        }
        canonical.add_second_symbols();
        assert!(
            canonical.ranges[LONGEST].2 == 1 << LONGEST,
            "the code is not complete"
        );
        canonical
    }

    /// Adds a second symbol wherever it fits.
    const fn add_second_symbols(&mut self) {
        let mut beginning = 0;
        // A second symbol is looked up behind the first one, where the bits that are missing are zeros.
        let first = self.short;
        while beginning < first.len() {
            let length = first[beginning].length();
            let next = first[(beginning << length) % first.len()];
            if length > 0 && next.length() > 0 && length + next.length() <= SHORT as u32 {
                self.short[beginning] = ShortSymbols::two(first[beginning], next);
            }
            beginning += 1;
        }
    }

    /// Returns the symbol and the length of the code at the beginning of `bits`, the first of which is the most significant one.
    fn symbol(&self, bits: u64) -> Result<(u8, u32), DecodeError> {
        let short = self.short[(bits >> (64 - SHORT)) as usize];
        if short.count() == 0 {
            return self.long_symbol((bits >> (64 - LONGEST)) as u32);
        }
        let [symbol, _] = short.symbols();
        let (_, length) = self.codes[usize::from(symbol)];
        Ok((symbol, u32::from(length)))
    }

    #[cold]
    fn long_symbol(&self, bits: u32) -> Result<(u8, u32), DecodeError> {
        let ranges = self.ranges.iter().enumerate().skip(SHORT + 1);
        for (length, &(first, index, end)) in ranges {
            if bits < end {
                let offset = (bits >> (LONGEST - length)) - first;
                let symbol = self.symbols[usize::from(index) + offset as usize];
                let symbol = u8::try_from(symbol).map_err(|_| DecodeError::InvalidHuffman)?;
                return Ok((symbol, length as u32));
            }
        }
        Err(DecodeError::InvalidHuffman)
    }
}

/// The symbols that fit into [`SHORT`] bits, in one word: two symbols, their number, and the length of their codes in bits, a byte each. The
/// number is zero if the code of the first symbol is longer.
#[derive(Clone, Copy)]
struct ShortSymbols(u32);

impl ShortSymbols {
    const NONE: ShortSymbols = ShortSymbols(0);

    const fn one(symbol: u8, length: u8) -> ShortSymbols {
        ShortSymbols(u32::from_le_bytes([symbol, 0, 1, length]))
    }

    const fn two(first: ShortSymbols, second: ShortSymbols) -> ShortSymbols {
        let ([one, _, _, length], [two, _, _, more]) =
            (first.0.to_le_bytes(), second.0.to_le_bytes());
        ShortSymbols(u32::from_le_bytes([one, two, 2, length + more]))
    }

    #[inline]
    const fn symbols(self) -> [u8; 2] {
        (self.0 as u16).to_le_bytes()
    }

    #[inline]
    const fn count(self) -> usize {
        (self.0 >> 16) as usize & 3
    }

    #[inline]
    const fn length(self) -> u32 {
        self.0 >> 24
    }
}

/// Returns the number of bytes that the code of `input` takes.
#[inline]
pub(super) fn encoded_len(input: &[u8]) -> usize {
    let bits = input
        .iter()
        .map(|&byte| u64::from(LENGTHS[usize::from(byte)]));
    bits.sum::<u64>().div_ceil(8) as usize
}

/// Appends the code of `input`, padded with ones.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    // The lowest `count` bits of `bits` are not written yet. Fewer than 32 of them remain after each symbol.
    let (mut bits, mut count) = (0u64, 0u32);
    for &byte in input {
        let (code, length) = CANONICAL.codes[usize::from(byte)];
        bits = bits << length | u64::from(code);
        count += u32::from(length);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    if count > 0 {
        let padding = count.wrapping_neg() % 8;
        bits = bits << padding | ((1 << padding) - 1);
        count += padding;
        let bytes = (bits << (64 - count)).to_be_bytes();
        out.extend_from_slice(&bytes[..(count / 8) as usize]);
    }
}

/// Returns the maximum length of a string whose code takes `encoded` bytes.
#[inline]
pub(super) fn max_decoded_len(encoded: usize) -> usize {
    encoded.saturating_mul(8) / SHORTEST
}

/// Returns the length of the decoded string, without storing it.
pub(super) fn decoded_len(input: &[u8]) -> Result<usize, DecodeError> {
    decode_symbols(input, |_, _| ())
}

/// Decodes a string into the beginning of `output`, and returns its length. `output` is longer than the string by at least one byte.
pub(super) fn decode(input: &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
    decode_symbols(input, |position, symbols| {
        if let Some(bytes) = output.get_mut(position..position + 2) {
            bytes.copy_from_slice(&symbols);
        }
    })
}

/// Calls `store` for each one or two bytes of the decoded string, with their position. The second byte is not valid if the next position is the
/// one behind the first. Returns the length of the string.
#[inline]
fn decode_symbols(
    mut input: &[u8],
    mut store: impl FnMut(usize, [u8; 2]),
) -> Result<usize, DecodeError> {
    // The highest `count` bits of `bits` are the next ones.
    let (mut bits, mut count) = (0u64, 0u32);
    let mut position = 0;
    loop {
        if let Some(next) = input.first_chunk::<8>() {
            bits |= u64::from_be_bytes(*next) >> count;
            let bytes = (63 - count) / 8;
            input = &input[bytes as usize..];
            count += bytes * 8;
            // Only bits below `count` may be set: they are combined with the next bytes.
            bits &= !(u64::MAX >> count);
        } else {
            while count < 56
                && let Some((&byte, rest)) = input.split_first()
            {
                bits |= u64::from(byte) << (56 - count);
                count += 8;
                input = rest;
            }
        }
        if input.is_empty() {
            break;
        }
        while count >= LONGEST as u32 {
            let short = CANONICAL.short[(bits >> (64 - SHORT)) as usize];
            if short.count() == 0 {
                let (symbol, length) = CANONICAL.symbol(bits)?;
                store(position, [symbol, 0]);
                position += 1;
                bits <<= length;
                count -= length;
                continue;
            }
            store(position, short.symbols());
            position += short.count();
            bits <<= short.length();
            count -= short.length();
        }
    }
    while count > 0 {
        // With ones behind the last bit, valid padding is the end-of-string symbol.
        let padded = bits | u64::MAX >> count;
        let (symbol, length) = match CANONICAL.symbol(padded) {
            Err(_) if count < 8 => break,
            found => found?,
        };
        if length > count {
            return Err(DecodeError::InvalidHuffman);
        }
        store(position, [symbol, 0]);
        position += 1;
        bits <<= length;
        count -= length;
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(input, &mut out);
        assert_eq!(out.len(), encoded_len(input));
        out
    }

    fn decoded(input: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let mut output = vec![0; max_decoded_len(input.len()) + 1];
        let length = decode(input, &mut output)?;
        assert_eq!(decoded_len(input), Ok(length));
        output.truncate(length);
        Ok(output)
    }

    #[test]
    fn some_codes_of_the_rfc_are_those_of_the_table() {
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b'a', 0x3, 5),
            (b' ', 0x14, 6),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'!', 0x3f8, 10),
            (b'\\', 0x7fff0, 19),
            (0, 0x1ff8, 13),
            (10, 0x3ffffffc, 30),
            (22, 0x3ffffffe, 30),
            (249, 0xffffffe, 28),
            (255, 0x3ffffee, 26),
        ] {
            assert_eq!(
                CANONICAL.codes[usize::from(symbol)],
                (code, length),
                "{symbol}"
            );
        }
        assert_eq!(
            CANONICAL.symbols[256], 256,
            "the end-of-string symbol is the last one"
        );
    }

    #[test]
    fn all_bytes_at_all_bit_positions_survive_a_round_trip() {
        for byte in 0..=255 {
            for before in 0..10 {
                for after in 0..10 {
                    let text = [vec![b'0'; before], vec![byte; 3], vec![b'z'; after]].concat();
                    assert_eq!(decoded(&encoded(&text)), Ok(text));
                }
            }
        }
    }

    #[test]
    fn the_end_of_string_symbol_in_a_string_is_refused() {
        let error = Err(DecodeError::InvalidHuffman);
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), error);
        assert_eq!(decoded(&[0xff; 40]), error);
        // The end-of-string symbol behind a "0" and in front of 29 bits of other symbols.
        assert_eq!(decoded(&[0x07, 0xff, 0xff, 0xff, 0xe0, 0, 0, 0x07]), error);
    }

    #[test]
    fn padding_consists_of_at_most_seven_ones() {
        assert_eq!(decoded(&[0x07]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0x06]), Err(DecodeError::InvalidHuffman));
        assert_eq!(decoded(&[0x00]), Err(DecodeError::InvalidHuffman));
        assert_eq!(decoded(&[0xff]), Err(DecodeError::InvalidHuffman));
        assert_eq!(decoded(&[0x07, 0xff]), Err(DecodeError::InvalidHuffman));
        // "&" has eight bits, so nothing follows it.
        assert_eq!(decoded(&[0xf8]), Ok(b"&".to_vec()));
        assert_eq!(decoded(&[0xf8, 0xff]), Err(DecodeError::InvalidHuffman));
    }

    #[test]
    fn the_beginning_of_a_long_code_is_not_padding() {
        // The first seven bits of "!" are ones, and the next three are not.
        assert_eq!(decoded(&[0xfe, 0x3f]), Ok(b"!".to_vec()));
        assert_eq!(decoded(&[0xfe]), Err(DecodeError::InvalidHuffman));
        assert_eq!(decoded(&[0x07, 0xfe]), Err(DecodeError::InvalidHuffman));
    }

    #[test]
    fn an_empty_string_has_no_code() {
        assert_eq!(encoded(b""), b"");
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }
}
