//! Decoder of chunked bodies (RFC 9112, section 7.1).

use http::StatusCode;

use super::limits::Limits;
use crate::message::invalid::InvalidMessage;
use crate::message::text::is_token;

/// The expected next part of a chunk. The parts of extensions follow the grammar of RFC 9112, section 7.1.1:
///
/// ```text
/// chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkPart {
    /// The first digit of the size.
    #[default]
    Size,
    /// A digit, an extension or the end of the line.
    Digit,
    /// White space or the semicolon before an extension.
    Semicolon,
    /// White space or the first character of an extension's name.
    NameStart,
    /// The rest of a name.
    Name,
    /// White space, an equals sign or a semicolon after a name.
    NameEnd,
    /// White space or the first character of an extension's value.
    ValueStart,
    /// The rest of a value that is a token.
    Token,
    /// The rest of a value in quotes.
    Quoted,
    /// The character after a backslash in quotes.
    Escaped,
    /// White space, a semicolon or the end of the line after a value in quotes.
    QuotedEnd,
    /// The LF that ends the line of the size.
    SizeLf,
    /// The data.
    Data,
    /// The CR after the data.
    DataCr,
    /// The LF after the data.
    DataLf,
}

/// The state of a chunked body that is being decoded. It stores none of the bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkedState {
    /// Bytes of the current chunk that have not been decoded yet.
    left: u64,
    /// Bytes of all extensions so far.
    extensions: u32,
    part: ChunkPart,
    digits: u8,
}

/// The result of [`ChunkedState::advance`]: the content of the first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkedOutput {
    /// Only framing.
    More,
    /// `skip` bytes of framing, followed by `length` bytes of data.
    Data { skip: usize, length: usize },
    /// `skip` bytes of framing, followed by the trailers.
    Last { skip: usize },
}

impl ChunkedState {
    /// Returns the number of bytes of the current chunk that have not been decoded yet; 0 until the line with the chunk size is complete.
    pub(super) fn left(&self) -> u64 {
        if self.part == ChunkPart::Data {
            self.left
        } else {
            0
        }
    }

    /// Parses bytes up to the first data, and returns as much of that data as is available.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<ChunkedOutput, InvalidMessage> {
        for (skip, &byte) in bytes.iter().enumerate() {
            self.part = match self.part {
                ChunkPart::Data => {
                    let length = self.left.min((bytes.len() - skip) as u64);
                    self.left -= length;
                    if self.left == 0 {
                        self.part = ChunkPart::DataCr;
                    }
                    return Ok(ChunkedOutput::Data {
                        skip,
                        length: length as usize,
                    });
                }
                ChunkPart::Size | ChunkPart::Digit if byte.is_ascii_hexdigit() => {
                    self.digit(byte)?
                }
                ChunkPart::Digit if byte == b'\r' => ChunkPart::SizeLf,
                ChunkPart::Digit if matches!(byte, b' ' | b'\t' | b';') => {
                    self.extension(byte, limits)?
                }
                ChunkPart::Size | ChunkPart::Digit => {
                    return Err(InvalidMessage::bad("the size of a chunk is malformed"));
                }
                ChunkPart::SizeLf if byte == b'\n' => {
                    self.digits = 0;
                    if self.left == 0 {
                        return Ok(ChunkedOutput::Last { skip: skip + 1 });
                    }
                    ChunkPart::Data
                }
                ChunkPart::DataCr if byte == b'\r' => ChunkPart::DataLf,
                ChunkPart::DataLf if byte == b'\n' => ChunkPart::Size,
                ChunkPart::SizeLf => {
                    return Err(InvalidMessage::bad(
                        "the size of a chunk does not end with CR LF",
                    ));
                }
                ChunkPart::DataCr | ChunkPart::DataLf => {
                    return Err(InvalidMessage::bad("a chunk is longer than its size"));
                }
                ChunkPart::Name | ChunkPart::Token | ChunkPart::QuotedEnd if byte == b'\r' => {
                    ChunkPart::SizeLf
                }
                _ => self.extension(byte, limits)?,
            };
        }
        Ok(ChunkedOutput::More)
    }

    fn digit(&mut self, digit: u8) -> Result<ChunkPart, InvalidMessage> {
        self.digits += 1;
        if self.digits > 16 {
            return Err(InvalidMessage::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the size of a chunk is too large",
            ));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.left = self.left << 4 | u64::from(value);
        Ok(ChunkPart::Digit)
    }

    /// Parses a byte of the extensions.
    fn extension(&mut self, byte: u8, limits: &Limits) -> Result<ChunkPart, InvalidMessage> {
        self.extensions += 1;
        if self.extensions as usize > limits.chunk_extensions {
            return Err(InvalidMessage::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the chunk extensions of the body are too long",
            ));
        }
        let part = match (self.part, byte) {
            (ChunkPart::Quoted, b'"') => ChunkPart::QuotedEnd,
            (ChunkPart::Quoted, b'\\') => ChunkPart::Escaped,
            (ChunkPart::Quoted | ChunkPart::Escaped, b'\t' | b' '..=b'~' | 0x80..) => {
                ChunkPart::Quoted
            }
            // A size or a value with white space after it can only be followed by another extension.
            (ChunkPart::Digit | ChunkPart::Token | ChunkPart::QuotedEnd, b' ' | b'\t') => {
                ChunkPart::Semicolon
            }
            (ChunkPart::Name, b' ' | b'\t') => ChunkPart::NameEnd,
            (
                part @ (ChunkPart::Semicolon
                | ChunkPart::NameStart
                | ChunkPart::NameEnd
                | ChunkPart::ValueStart),
                b' ' | b'\t',
            ) => part,
            (
                ChunkPart::Digit
                | ChunkPart::Semicolon
                | ChunkPart::Name
                | ChunkPart::NameEnd
                | ChunkPart::Token
                | ChunkPart::QuotedEnd,
                b';',
            ) => ChunkPart::NameStart,
            (ChunkPart::NameStart | ChunkPart::Name, byte) if is_token(byte) => ChunkPart::Name,
            (ChunkPart::Name | ChunkPart::NameEnd, b'=') => ChunkPart::ValueStart,
            (ChunkPart::ValueStart, b'"') => ChunkPart::Quoted,
            (ChunkPart::ValueStart | ChunkPart::Token, byte) if is_token(byte) => ChunkPart::Token,
            _ => return Err(InvalidMessage::bad("a chunk extension is malformed")),
        };
        Ok(part)
    }
}
