//! Bodies in chunks (RFC 9112, 7.1).

use http::StatusCode;

use super::invalid::Invalid;
use super::limits::Limits;
use super::text::is_token;

/// What comes next of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// The first digit of its size.
    #[default]
    Size,
    /// A digit, an extension or the end of the line.
    Digit,
    /// The name of an extension.
    ExtensionName,
    /// The rest of the extensions.
    Extension,
    /// The LF that ends the line of the size.
    SizeLf,
    /// Its data.
    Data,
    /// The CR after the data.
    DataCr,
    /// The LF after the data.
    DataLf,
}

/// Where a body in chunks is. It keeps none of the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunked {
    /// The bytes of the chunk that are yet to come.
    left: u64,
    /// The bytes of all extensions so far.
    extensions: u32,
    next: Next,
    digits: u8,
}

/// What some bytes of a body in chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Framing, all of them.
    More,
    /// After so many bytes of framing, so many bytes of data.
    Data { skip: usize, length: usize },
    /// After so many bytes of framing, the trailers.
    Last { skip: usize },
}

impl Chunked {
    /// Looks at bytes up to the first data, of which as much is taken as there is.
    pub(super) fn advance(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, Invalid> {
        for (skip, &byte) in bytes.iter().enumerate() {
            self.next = match self.next {
                Next::Data => {
                    let length = self.left.min((bytes.len() - skip) as u64);
                    self.left -= length;
                    if self.left == 0 {
                        self.next = Next::DataCr;
                    }
                    return Ok(Step::Data {
                        skip,
                        length: length as usize,
                    });
                }
                Next::Size | Next::Digit if byte.is_ascii_hexdigit() => self.digit(byte)?,
                Next::Digit if byte == b'\r' => Next::SizeLf,
                Next::Digit if byte == b';' => self.extension(Next::ExtensionName, limits)?,
                Next::Size | Next::Digit => {
                    return Err(Invalid::bad("the size of a chunk is malformed"));
                }
                Next::ExtensionName if is_token(byte) => self.extension(Next::Extension, limits)?,
                Next::Extension if byte == b'\r' => Next::SizeLf,
                Next::ExtensionName | Next::Extension if matches!(byte, b' ' | b'\t') => {
                    self.extension(self.next, limits)?
                }
                Next::Extension if byte > b' ' && byte != 0x7f => {
                    self.extension(Next::Extension, limits)?
                }
                Next::ExtensionName | Next::Extension => {
                    return Err(Invalid::bad("an extension of a chunk is malformed"));
                }
                Next::SizeLf if byte == b'\n' => {
                    self.digits = 0;
                    if self.left == 0 {
                        return Ok(Step::Last { skip: skip + 1 });
                    }
                    Next::Data
                }
                Next::DataCr if byte == b'\r' => Next::DataLf,
                Next::DataLf if byte == b'\n' => Next::Size,
                Next::SizeLf => {
                    return Err(Invalid::bad("the size of a chunk does not end with CR LF"));
                }
                Next::DataCr | Next::DataLf => {
                    return Err(Invalid::bad("a chunk is longer than its size"));
                }
            };
        }
        Ok(Step::More)
    }

    fn digit(&mut self, digit: u8) -> Result<Next, Invalid> {
        self.digits += 1;
        if self.digits > 16 {
            return Err(Invalid::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the size of a chunk is too large",
            ));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.left = self.left << 4 | u64::from(value);
        Ok(Next::Digit)
    }

    fn extension(&mut self, next: Next, limits: &Limits) -> Result<Next, Invalid> {
        self.extensions += 1;
        if self.extensions as usize > limits.chunk_extensions {
            return Err(Invalid::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the chunks of the body have too many extensions",
            ));
        }
        Ok(next)
    }
}
