//! The command encoder.
//!
//! Cost of a command: one pass over its arguments into the buffer of the caller, without an allocation.

use super::Arguments;

/// Appends a command to a buffer: an array of bulk strings.
///
/// # Examples
/// ```
/// use uptick_redis::protocol::encode_command;
///
/// let mut out = Vec::new();
/// encode_command(&mut out, ["GET", "key"]);
/// assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
/// ```
pub fn encode_command(out: &mut Vec<u8>, arguments: impl Arguments) {
    let mut encoder = Encoder::new(out, arguments.count());
    arguments.encode(&mut encoder);
}

/// Appends the arguments of one command to a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Starts a command with `count` arguments, including its name.
    pub fn new(out: &'a mut Vec<u8>, count: usize) -> Self {
        let mut encoder = Encoder { out };
        encoder.length(b'*', count);
        encoder
    }

    /// Appends an argument.
    #[inline]
    pub fn argument(&mut self, bytes: &[u8]) {
        self.length(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Appends an integer as an argument.
    pub fn integer(&mut self, integer: i128) {
        let mut digits = [0; 40];
        let text = decimal(&mut digits, integer.unsigned_abs(), integer < 0);
        self.argument(text);
    }

    #[inline]
    fn length(&mut self, kind: u8, length: usize) {
        if length < 10 {
            let digit = b'0' + length as u8;
            self.out.extend_from_slice(&[kind, digit, b'\r', b'\n']);
            return;
        }
        let mut digits = [0; 40];
        let text = decimal(&mut digits, length as u128, false);
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Writes a number in decimal digits to the end of `digits`.
fn decimal(digits: &mut [u8; 40], magnitude: u128, negative: bool) -> &[u8] {
    let mut at = digits.len();
    // Division of 64-bit numbers is faster; nearly all numbers fit.
    let mut wide = magnitude;
    while wide > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (wide % 10) as u8;
        wide /= 10;
    }
    let mut rest = wide as u64;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if negative {
        at -= 1;
        digits[at] = b'-';
    }
    &digits[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(arguments: impl Arguments) -> String {
        let mut out = Vec::new();
        encode_command(&mut out, arguments);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(encoded("PING"), "*1\r\n$4\r\nPING\r\n");
        assert_eq!(encoded(("A", "")), "*2\r\n$1\r\nA\r\n$0\r\n\r\n");
        let long = "x".repeat(12_345);
        assert_eq!(
            encoded(long.as_str()),
            format!("*1\r\n$12345\r\n{long}\r\n")
        );
        let many = vec!["x"; 100];
        assert!(encoded(many).starts_with("*100\r\n$1\r\nx\r\n"));
    }

    #[test]
    fn integers_are_written_in_decimal() {
        for integer in [
            0,
            9,
            10,
            -1,
            i128::from(i64::MIN),
            i128::from(u64::MAX),
            i128::MIN,
            i128::MAX,
        ] {
            let mut out = Vec::new();
            Encoder::new(&mut out, 1).integer(integer);
            let text = integer.to_string();
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("*1\r\n${}\r\n{text}\r\n", text.len())
            );
        }
    }
}
