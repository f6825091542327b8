//! JSON scanner: checks the syntax and the depth, and locates the elements of the outermost array.
//!
//! It does not recurse, and allocates nothing except the ranges of the elements, so it is safe for untrusted text. It accepts the same text as `JSON.parse`.

use std::ops::Range;

use smallvec::SmallVec;

/// Maximum depth that can be configured. The limit of serde_json is 127.
pub(crate) const MAX_DEPTH: usize = 120;

/// The byte ranges of the elements of an array.
pub(crate) type ElementRanges = SmallVec<[Range<usize>; 4]>;

/// The kind of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Object,
    Array,
    String,
    Number,
    /// `true`, `false` or `null`.
    Literal,
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct JsonScan {
    pub(crate) kind: JsonKind,
    /// The elements, if the value is an array.
    pub(crate) elements: ElementRanges,
    /// The positions of escape sequences of lone surrogates.
    pub(crate) lone_surrogates: Vec<usize>,
}

/// A syntax or depth error in JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    Syntax,
    TooDeep,
}

/// Returns the kind of the value that begins with a byte.
pub(crate) fn kind_of(first: u8) -> JsonKind {
    match first {
        b'{' => JsonKind::Object,
        b'[' => JsonKind::Array,
        b'"' => JsonKind::String,
        b'-' | b'0'..=b'9' => JsonKind::Number,
        _ => JsonKind::Literal,
    }
}

/// Scans one JSON value, which may be surrounded by white space. `bytes` must be valid UTF-8.
pub(crate) fn scan(bytes: &[u8], max_depth: usize) -> Result<JsonScan, JsonError> {
    let max_depth = max_depth.min(MAX_DEPTH);
    let mut scanner = JsonScanner {
        bytes,
        at: 0,
        lone_surrogates: Vec::new(),
    };
    let mut elements = ElementRanges::new();
    // One bit for each open array (1) or object (0); the innermost is the lowest bit.
    let mut stack: u128 = 0;
    let mut depth = 0;
    let mut start = 0;
    scanner.skip_space();
    let kind = kind_of(scanner.peek());
    loop {
        if depth == 1 {
            start = scanner.at;
        }
        match scanner.peek() {
            open @ (b'{' | b'[') => {
                depth += 1;
                if depth > max_depth {
                    return Err(JsonError::TooDeep);
                }
                stack = stack << 1 | u128::from(open == b'[');
                scanner.at += 1;
                scanner.skip_space();
                // In ASCII, `]` and `}` are two positions after `[` and `{`.
                if scanner.peek() == open + 2 {
                    scanner.at += 1;
                    depth -= 1;
                    stack >>= 1;
                } else {
                    if open == b'{' {
                        scanner.key()?;
                    }
                    continue;
                }
            }
            b'"' => scanner.string()?,
            b'-' | b'0'..=b'9' => scanner.number()?,
            b't' => scanner.literal(b"true")?,
            b'f' => scanner.literal(b"false")?,
            b'n' => scanner.literal(b"null")?,
            _ => return Err(JsonError::Syntax),
        }
        // After a value.
        loop {
            let in_array = stack & 1 == 1;
            if depth == 1 && in_array {
                elements.push(start..scanner.at);
            }
            scanner.skip_space();
            if depth == 0 {
                if scanner.at < bytes.len() {
                    return Err(JsonError::Syntax);
                }
                return Ok(JsonScan {
                    kind,
                    elements,
                    lone_surrogates: scanner.lone_surrogates,
                });
            }
            match scanner.peek() {
                b',' => {
                    scanner.at += 1;
                    scanner.skip_space();
                    if !in_array {
                        scanner.key()?;
                    }
                    break;
                }
                b']' if in_array => {}
                b'}' if !in_array => {}
                _ => return Err(JsonError::Syntax),
            }
            scanner.at += 1;
            depth -= 1;
            stack >>= 1;
        }
    }
}

/// The text and the current position.
struct JsonScanner<'a> {
    bytes: &'a [u8],
    at: usize,
    lone_surrogates: Vec<usize>,
}

impl JsonScanner<'_> {
    /// Returns the next byte, or zero at the end. Outside of strings, zero is never valid.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Skips a key, the colon, and the white space around it.
    fn key(&mut self) -> Result<(), JsonError> {
        if self.peek() != b'"' {
            return Err(JsonError::Syntax);
        }
        self.string()?;
        self.skip_space();
        if self.peek() != b':' {
            return Err(JsonError::Syntax);
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(JsonError::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    /// Skips one or more digits.
    fn digits(&mut self) -> Result<(), JsonError> {
        if !self.peek().is_ascii_digit() {
            return Err(JsonError::Syntax);
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..0x20 => return Err(JsonError::Syntax),
                _ => self.at += 1,
            }
        }
        Err(JsonError::Syntax)
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.unit(self.at).ok_or(JsonError::Syntax)?;
                let start = self.at;
                self.at += 6;
                match unit {
                    0xd800..0xdc00
                        if self
                            .unit(self.at)
                            .is_some_and(|low| (0xdc00..0xe000).contains(&low)) =>
                    {
                        self.at += 6;
                    }
                    0xd800..0xe000 => self.lone_surrogates.push(start),
                    _ => {}
                }
            }
            _ => return Err(JsonError::Syntax),
        }
        Ok(())
    }

    /// Returns the UTF-16 code unit of the escape `\uXXXX` at a position.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some(unit << 4 | char::from(digit).to_digit(16)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<JsonKind, JsonError> {
        scan(text.as_bytes(), 4).map(|scan| scan.kind)
    }

    #[test]
    fn values_of_all_kinds_are_accepted() {
        assert_eq!(
            check(r#" {"a" : [1, {"b":null}] , "c":{}} "#),
            Ok(JsonKind::Object)
        );
        assert_eq!(check("[[],{},[ ]]"), Ok(JsonKind::Array));
        assert_eq!(check(r#""\u00e4\"\\\n\ud83d\ude00""#), Ok(JsonKind::String));
        for number in ["0", "-0", "10.5e-3", "1E+9"] {
            assert_eq!(check(number), Ok(JsonKind::Number), "{number}");
        }
        for literal in ["true", "false", "null"] {
            assert_eq!(check(literal), Ok(JsonKind::Literal));
        }
    }

    #[test]
    fn invalid_json_is_refused() {
        for text in [
            "",
            " ",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "[1}",
            "{\"a\":1]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "1 2",
            "\u{feff}1",
            "NaN",
            "\"\\",
        ] {
            assert_eq!(check(text), Err(JsonError::Syntax), "{text}");
        }
    }

    #[test]
    fn the_depth_is_limited_exactly() {
        assert!(check("[[[{}]]]").is_ok());
        assert_eq!(check("[[[[[]]]]]"), Err(JsonError::TooDeep));
        let deep = "[".repeat(500_000);
        assert_eq!(
            scan(deep.as_bytes(), usize::MAX).unwrap_err(),
            JsonError::TooDeep
        );
        let deepest = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(scan(deepest.as_bytes(), usize::MAX).is_ok());
    }

    #[test]
    fn the_elements_of_the_outermost_array_are_located() {
        let text = r#" [ "a,]" , [1,[2]],{"b":[3]} ,4] "#;
        let scan = scan(text.as_bytes(), 10).unwrap();
        let elements: Vec<_> = scan
            .elements
            .iter()
            .map(|range| &text[range.clone()])
            .collect();
        assert_eq!(elements, ["\"a,]\"", "[1,[2]]", "{\"b\":[3]}", "4"]);
    }

    #[test]
    fn lone_surrogates_are_reported() {
        let lone = |text: &str| scan(text.as_bytes(), 10).unwrap().lone_surrogates;
        assert_eq!(lone(r#""\ud83d\ude00""#), [0; 0]);
        assert_eq!(lone(r#""\ud83d""#), [1]);
        assert_eq!(lone(r#""\ude00\ud83d\ud83d\ude00""#), [1, 7]);
    }
}
