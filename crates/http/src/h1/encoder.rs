//! HTTP/1.1 response encoder.

use http::{HeaderMap, StatusCode};

use crate::message::request_head::Version;
use crate::message::text::end_of_text;
use crate::message::{ResponseBody, is_owned, is_owned_name, response_length};

/// The interim response for `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The first bytes of every response.
pub const RESPONSE_START: &[u8] = b"HTTP/1.1 ";

/// The use of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// The connection is reused for the next request.
    KeepAlive,
    /// The connection is closed.
    Close,
    /// The connection is used by another protocol, after status 101.
    Upgrade,
}

/// The head of a response, and the properties of the request that determine its framing.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: StatusCode,
    /// The reason phrase, if it is not the standard one.
    pub reason: Option<&'a str>,
    /// The `Content-Type`, unless `fields` has one.
    pub content_type: Option<&'a str>,
    /// The `Date` (RFC 9110, section 5.6.7), unless `fields` has one.
    pub date: Option<&'a str>,
    /// The other headers. Connection and framing headers ([`is_owned`]) are not sent; `Connection: close` has the same effect as
    /// [`Persistence::Close`].
    pub fields: Option<&'a HeaderMap>,
    /// The length of the body.
    pub body: ResponseBody,
    /// The version of the request.
    pub version: Version,
    /// `true` if the request method is `HEAD`, so that no body is sent.
    pub to_head: bool,
    /// The requested use of the connection after the response. It is always [`Persistence::Upgrade`] after status 101, and
    /// [`Persistence::Close`] after a body that ends with the connection.
    pub persistence: Persistence,
}

/// An error of an [`Encoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A text of the head has line breaks or control characters.
    #[error("the {0} of the response has characters that are not allowed")]
    InvalidText(&'static str),
    /// A part of the head of a request is malformed.
    #[error("the {0} of the request is not valid")]
    InvalidRequest(&'static str),
    /// The body has more bytes than the head announced.
    #[error("the body is longer than its Content-Length")]
    BodyTooLong,
    /// The body has fewer bytes than the head announced. The connection must be closed, so that the client detects it.
    #[error("the body is shorter than its Content-Length")]
    BodyTooShort,
}

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body; body pieces are dropped.
    None,
    /// `Content-Length`, with the number of bytes left.
    Bytes(u64),
    /// Chunked transfer coding.
    Chunked,
    /// End of the connection.
    UntilClose,
}

/// An encoder that writes one response to a buffer: the head, the pieces of the body, and the end. Names of headers and trailers are written in lower
/// case.
///
/// ```
/// use uptick_http::h1::{Encoder, Persistence, ResponseBody, ResponseHead, Version};
///
/// let mut out = Vec::new();
/// let head = ResponseHead {
///     status: http::StatusCode::OK,
///     reason: None,
///     content_type: Some("text/plain"),
///     date: None,
///     fields: None,
///     body: ResponseBody::Bytes(5),
///     version: Version::Http11,
///     to_head: false,
///     persistence: Persistence::KeepAlive,
/// };
/// let mut encoder = Encoder::begin(&mut out, &head)?;
/// encoder.body(&mut out, b"hello")?;
/// assert_eq!(encoder.finish(&mut out, None)?, Persistence::KeepAlive);
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello");
/// # Ok::<(), uptick_http::h1::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the end of the body must be written"]
pub struct Encoder {
    framing: Framing,
    persistence: Persistence,
}

impl Encoder {
    /// Writes the head of a response.
    ///
    /// # Errors
    ///
    /// [`EncodeError::InvalidText`]. Nothing is written in this case.
    pub fn begin(out: &mut Vec<u8>, head: &ResponseHead<'_>) -> Result<Encoder, EncodeError> {
        check("reason", head.reason)?;
        check("content type", head.content_type)?;
        check("date", head.date)?;
        Ok(Encoder::begin_checked(out, head))
    }

    /// Creates the encoder for the body of a request.
    pub(super) fn of_request(framing: Framing, persistence: Persistence) -> Encoder {
        Encoder {
            framing,
            persistence,
        }
    }

    /// Writes the head of a response whose texts are known to be valid.
    pub(crate) fn begin_checked(out: &mut Vec<u8>, head: &ResponseHead<'_>) -> Encoder {
        // One reservation, so that most later writes need none.
        out.reserve(512);
        let (framing, length) = framing(head);
        let informational = head.status.is_informational();
        let explicit = head.fields.map(ExplicitFields::of).unwrap_or_default();
        let persistence = match head.persistence {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => Persistence::Upgrade,
            _ if informational => Persistence::KeepAlive,
            Persistence::KeepAlive if framing != Framing::UntilClose && !explicit.close => {
                Persistence::KeepAlive
            }
            _ => Persistence::Close,
        };
        status_line(out, head);
        if let Some(value) = head.content_type.filter(|_| !explicit.content_type) {
            out.extend_from_slice(b"content-type: ");
            line(out, value.as_bytes());
        }
        if let Some(length) = length {
            out.extend_from_slice(b"content-length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        if framing == Framing::Chunked {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        // A sender of Upgrade also sends it as a connection option (RFC 9110, section 7.8).
        match persistence {
            _ if informational && persistence == Persistence::KeepAlive => {}
            Persistence::Close if explicit.upgrade => {
                out.extend_from_slice(b"connection: close, Upgrade\r\n");
            }
            _ if explicit.upgrade || persistence == Persistence::Upgrade => {
                out.extend_from_slice(b"connection: Upgrade\r\n");
            }
            Persistence::KeepAlive if head.version == Version::Http11 => {}
            Persistence::KeepAlive => out.extend_from_slice(b"connection: keep-alive\r\n"),
            _ => out.extend_from_slice(b"connection: close\r\n"),
        }
        if let Some(value) = head.date.filter(|_| !explicit.date) {
            out.extend_from_slice(b"date: ");
            line(out, value.as_bytes());
        }
        if let Some(fields) = head.fields {
            write_fields(out, fields, explicit.owned);
        }
        out.extend_from_slice(b"\r\n");
        Encoder {
            framing,
            persistence,
        }
    }

    /// Returns `true` if the body is sent. It is not sent for `HEAD` and for a status without a body.
    pub fn sends_body(&self) -> bool {
        self.framing != Framing::None
    }

    /// Returns the use of the connection after the response.
    pub fn persistence(&self) -> Persistence {
        self.persistence
    }

    /// Returns a byte that may be sent before the next piece or the end of the body without changing the body: a leading zero of the
    /// chunk size (RFC 9112, section 7.1). Returns `None` if the framing has no such byte.
    pub fn leading_byte(&self) -> Option<u8> {
        (self.framing == Framing::Chunked).then_some(b'0')
    }

    /// Writes a piece of the body. An empty piece is ignored.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BodyTooLong`]. Nothing is written in this case.
    pub fn body(&mut self, out: &mut Vec<u8>, piece: &[u8]) -> Result<(), EncodeError> {
        if self.open_piece(out, piece.len())? {
            out.extend_from_slice(piece);
            self.close_piece(out);
        }
        Ok(())
    }

    /// Writes the bytes before a body piece of `length` bytes, for callers that send the piece themselves. Returns `true` if the piece
    /// must be sent; [`close_piece`](Encoder::close_piece) follows it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BodyTooLong`]. Nothing is written in this case.
    pub fn open_piece(&mut self, out: &mut Vec<u8>, length: usize) -> Result<bool, EncodeError> {
        match &mut self.framing {
            _ if length == 0 => return Ok(false),
            Framing::None => return Ok(false),
            Framing::Bytes(left) => {
                *left = left
                    .checked_sub(length as u64)
                    .ok_or(EncodeError::BodyTooLong)?;
            }
            Framing::Chunked => {
                hexadecimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Framing::UntilClose => {}
        }
        Ok(true)
    }

    /// Writes the bytes after a piece of the body.
    pub fn close_piece(&self, out: &mut Vec<u8>) {
        if self.framing == Framing::Chunked {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the end of the body, and returns the use of the connection after it. Trailers are sent only with the chunked coding, and
    /// without framing headers.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BodyTooShort`].
    pub fn finish(
        self,
        out: &mut Vec<u8>,
        trailers: Option<&HeaderMap>,
    ) -> Result<Persistence, EncodeError> {
        match self.framing {
            Framing::Bytes(left) if left > 0 => return Err(EncodeError::BodyTooShort),
            Framing::Chunked => {
                out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = trailers {
                    write_fields(out, trailers, true);
                }
                out.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        Ok(self.persistence)
    }
}

/// Writes an HTTP/1.1 response with status 200 and only the headers that every response has.
///
/// The text must be valid in a head.
#[inline]
pub(crate) fn write_plain(out: &mut Vec<u8>, content_type: &str, date: &[u8; DATE], body: &[u8]) {
    out.reserve(192 + content_type.len() + body.len());
    start(out, content_type);
    write_decimal(out, body.len() as u64);
    // One copy of a known length is cheaper than one for each part.
    let mut rest = [0; DATE_START.len() + DATE + END.len()];
    rest[..DATE_START.len()].copy_from_slice(DATE_START);
    rest[DATE_START.len()..][..DATE].copy_from_slice(date);
    rest[DATE_START.len() + DATE..].copy_from_slice(END);
    out.extend_from_slice(&rest);
    out.extend_from_slice(body);
}

/// Length of a date, in bytes (RFC 9110, section 5.6.7).
const DATE: usize = 29;
const DATE_START: &[u8; 8] = b"\r\ndate: ";
const END: &[u8; 4] = b"\r\n\r\n";

/// Writes a head with status 200, up to and including the name of `Content-Length`.
#[inline]
fn start(out: &mut Vec<u8>, content_type: &str) {
    macro_rules! start {
        ($content_type:literal) => {
            concat!(
                "HTTP/1.1 200 OK\r\ncontent-type: ",
                $content_type,
                "\r\ncontent-length: "
            )
        };
    }
    // Text of known length is copied inline.
    match content_type {
        "text/plain; charset=utf-8" => {
            out.extend_from_slice(start!("text/plain; charset=utf-8").as_bytes());
        }
        "application/json" => out.extend_from_slice(start!("application/json").as_bytes()),
        "text/html; charset=utf-8" => {
            out.extend_from_slice(start!("text/html; charset=utf-8").as_bytes());
        }
        _ => {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: ");
            out.extend_from_slice(content_type.as_bytes());
            out.extend_from_slice(b"\r\ncontent-length: ");
        }
    }
}

/// Returns the framing of a response (RFC 9112, section 6.3), and its `Content-Length`.
fn framing(head: &ResponseHead<'_>) -> (Framing, Option<u64>) {
    let (sends_body, length) = response_length(head.status, head.to_head, head.body, head.fields);
    let framing = match (sends_body, length) {
        (false, _) => Framing::None,
        (true, Some(length)) => Framing::Bytes(length),
        (true, None) if head.version == Version::Http10 => Framing::UntilClose,
        (true, None) => Framing::Chunked,
    };
    (framing, length)
}

/// The fields set by the handler that affect the rest of the head.
#[derive(Clone, Copy, Default)]
struct ExplicitFields {
    content_type: bool,
    date: bool,
    upgrade: bool,
    /// `true` if `Connection` has the option `close`.
    close: bool,
    /// `true` if there is a field that the encoder writes itself.
    owned: bool,
}

impl ExplicitFields {
    fn of(fields: &HeaderMap) -> ExplicitFields {
        let mut explicit = ExplicitFields::default();
        for (name, value) in fields {
            match name.as_str() {
                "content-type" => explicit.content_type = true,
                "date" => explicit.date = true,
                "upgrade" => explicit.upgrade = true,
                "connection" => {
                    explicit.owned = true;
                    explicit.close |= has_close(value.as_bytes());
                }
                name => explicit.owned |= is_owned_name(name),
            }
        }
        explicit
    }
}

/// Returns `true` if a value of `Connection` has the option `close`.
fn has_close(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Writes fields. If `any_owned` is set, leaves out the fields of the encoder. Names and values are valid by their types.
pub(super) fn write_fields(out: &mut Vec<u8>, fields: &HeaderMap, any_owned: bool) {
    for (name, value) in fields {
        if any_owned && is_owned(name) {
            continue;
        }
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        line(out, value.as_bytes());
    }
}

/// Writes the rest of a line and its line ending.
#[inline]
fn line(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn status_line(out: &mut Vec<u8>, head: &ResponseHead<'_>) {
    if head.status == StatusCode::OK && head.reason.is_none() {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    let reason = head.reason.or(head.status.canonical_reason());
    line(out, reason.unwrap_or_default().as_bytes());
}

/// Returns an error if the text has line breaks, NUL or other control characters except the tab.
#[inline]
fn check(part: &'static str, text: Option<&str>) -> Result<(), EncodeError> {
    match text {
        Some(text) if end_of_text(text.as_bytes(), 0) < text.len() => {
            Err(EncodeError::InvalidText(part))
        }
        _ => Ok(()),
    }
}

/// Writes a decimal number.
#[inline(always)]
pub(super) fn write_decimal(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        10..=99 => out.extend_from_slice(&TWO_DIGITS[number as usize]),
        _ => write_long_decimal(out, number),
    }
}

/// The numbers below 100, with two digits each.
static TWO_DIGITS: [[u8; 2]; 100] = {
    let mut numbers = [[0; 2]; 100];
    let mut number = 0;
    while number < numbers.len() {
        numbers[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    numbers
};

#[inline(never)]
fn write_long_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        start -= 1;
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn hexadecimal(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * digit)) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_plain_writes_the_same_bytes_as_the_encoder() {
        let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
        for content_type in [
            "text/plain; charset=utf-8",
            "application/json",
            "text/html; charset=utf-8",
            "text/html",
        ] {
            for length in [0, 9, 10, 99, 100, 1000, 4096] {
                let body = vec![b'x'; length];
                let head = ResponseHead {
                    status: StatusCode::OK,
                    reason: None,
                    content_type: Some(content_type),
                    date: str::from_utf8(date).ok(),
                    fields: None,
                    body: ResponseBody::Bytes(length as u64),
                    version: Version::Http11,
                    to_head: false,
                    persistence: Persistence::KeepAlive,
                };
                let (mut plain, mut any) = (Vec::new(), Vec::new());
                write_plain(&mut plain, content_type, date, &body);
                let mut encoder = Encoder::begin(&mut any, &head).unwrap();
                encoder.body(&mut any, &body).unwrap();
                assert_eq!(encoder.finish(&mut any, None), Ok(Persistence::KeepAlive));
                assert_eq!(plain, any);
            }
        }
    }
}
