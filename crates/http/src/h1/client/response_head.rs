//! The head of a response.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::h1::framing::ResponseFraming;
use crate::h1::parse;
use crate::message::fields::{Fields, to_header_map, write_lines};
use crate::message::invalid::InvalidMessage;
use crate::message::request_head::{BodyLength as Delimiter, Span, Version};
use crate::message::text::end_of_text;

/// The error for a response with a malformed status line: the server speaks another protocol, or another version of HTTP.
pub const MALFORMED_LINE: InvalidMessage = InvalidMessage::new(
    StatusCode::BAD_GATEWAY,
    "the status line of the response is malformed",
);

/// The framing of a response body (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    None,
    /// `Content-Length`, with the number of bytes, which may be 0.
    Bytes(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// End of the connection.
    UntilClose,
}

/// The head of a response: its validated status line and fields.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    bytes: Bytes,
    status: StatusCode,
    version: Version,
    reason: Span,
    /// Start of the fields.
    fields: u32,
    body: BodyLength,
    keep_alive: bool,
    is_last: bool,
}

/// A parsed status line.
struct StatusLine {
    version: Version,
    status: StatusCode,
    reason: Span,
}

/// The kinds of requests that affect the framing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestKind {
    Head,
    Connect,
    Other,
}

impl ResponseHead {
    /// Parses a complete head whose fields start at `fields`.
    pub(super) fn parse(
        bytes: Bytes,
        fields: usize,
        request: RequestKind,
    ) -> Result<ResponseHead, InvalidMessage> {
        let line = status_line(bytes.get(..fields).unwrap_or_default())?;
        let mut framing = ResponseFraming::default();
        parse::fields(
            bytes.get(fields..).unwrap_or_default(),
            |line, colon, end| {
                framing.field(line, colon, end);
                Ok(())
            },
        )?;
        let StatusLine {
            version,
            status,
            reason,
        } = line;
        let is_tunnel = request == RequestKind::Connect && status.is_success();
        let is_last = is_tunnel || status == StatusCode::SWITCHING_PROTOCOLS;
        let no_body = is_last
            || request == RequestKind::Head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = match no_body {
            true => BodyLength::None,
            false => match framing.body(version)? {
                Delimiter::None => BodyLength::UntilClose,
                Delimiter::Bytes(length) => BodyLength::Bytes(length),
                Delimiter::Chunked => BodyLength::Chunked,
            },
        };
        Ok(ResponseHead {
            status,
            version,
            reason,
            fields: fields as u32,
            body,
            keep_alive: !is_last && body != BodyLength::UntilClose && framing.keep_alive(version),
            is_last,
            bytes,
        })
    }

    /// Creates the head of an HTTP/2 response, whose text and fields were checked. The fields start at `fields`.
    pub(crate) fn of_http2(
        bytes: Bytes,
        fields: usize,
        status: StatusCode,
        body: BodyLength,
    ) -> ResponseHead {
        ResponseHead {
            bytes,
            status,
            version: Version::Http2,
            reason: Span::default(),
            fields: fields as u32,
            body,
            keep_alive: true,
            is_last: false,
        }
    }

    /// Creates the head of a response that was received in this form, for transports in memory.
    #[doc(hidden)]
    pub fn from_map(status: StatusCode, fields: &HeaderMap, body: BodyLength) -> ResponseHead {
        let mut bytes = Vec::new();
        write_lines(fields, &mut bytes);
        bytes.extend_from_slice(b"\r\n");
        ResponseHead {
            version: Version::Http11,
            ..ResponseHead::of_http2(bytes.into(), 0, status, body)
        }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the reason phrase, which may be empty.
    pub fn reason(&self) -> &[u8] {
        self.bytes.get(self.reason.range()).unwrap_or_default()
    }

    /// Returns the server's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the framing of the body.
    pub fn body(&self) -> BodyLength {
        self.body
    }

    /// Returns `true` if another request may be sent on this connection (RFC 9112, section 9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Returns `true` if another protocol or a tunnel follows on this connection: after status 101, or after 2xx for `CONNECT`.
    pub fn is_upgrade(&self) -> bool {
        self.is_last
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.bytes.get(self.fields as usize..).unwrap_or_default())
    }

    /// Returns the first value of a field. Names are case-insensitive.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().next_of(name)
    }

    /// Returns the fields as a map, whose values share the memory of the head.
    pub fn to_header_map(&self) -> HeaderMap {
        to_header_map(&self.bytes, self.fields())
    }

    /// Copies the head, which then does not share the memory of the received bytes, in which it may be a small part.
    pub fn detach(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    /// Returns the bytes of the head, from the version to the empty line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Checks the status line of a head before the other lines are received. `line` includes its line ending.
pub(super) fn check_first_line(line: &[u8]) -> Result<(), InvalidMessage> {
    status_line(line).map(|_| ())
}

/// Checks the first bytes of a head whose status line may be incomplete.
pub(super) fn check_start(bytes: &[u8]) -> Result<(), InvalidMessage> {
    let fits = |(index, byte): (usize, &u8)| match index {
        0..=6 => b"HTTP/1.".get(index) == Some(byte),
        7 | 10 | 11 => byte.is_ascii_digit(),
        8 => *byte == b' ',
        9 => matches!(byte, b'1'..=b'9'),
        _ => matches!(byte, b' ' | b'\r'),
    };
    match bytes.iter().take(13).enumerate().all(fits) {
        true => Ok(()),
        false => Err(MALFORMED_LINE),
    }
}

/// Parses a status line with its line ending (RFC 9112, section 4). The space before an empty reason may be missing, as some servers omit it.
fn status_line(line: &[u8]) -> Result<StatusLine, InvalidMessage> {
    let (version, rest) = match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            minor,
            b' ',
            rest @ ..,
        ] if minor.is_ascii_digit() => {
            let version = match minor {
                b'0' => Version::Http10,
                _ => Version::Http11,
            };
            (version, rest)
        }
        _ => return Err(MALFORMED_LINE),
    };
    let (digits, rest) = rest.split_first_chunk::<3>().ok_or(MALFORMED_LINE)?;
    let status = StatusCode::from_bytes(digits).map_err(|_| MALFORMED_LINE)?;
    let text = rest.strip_suffix(b"\r\n").ok_or(MALFORMED_LINE)?;
    let reason = match text {
        [] => text,
        [b' ', reason @ ..] if end_of_text(reason, 0) == reason.len() => reason,
        _ => return Err(MALFORMED_LINE),
    };
    let end = line.len() - 2;
    Ok(StatusLine {
        version,
        status,
        reason: Span::new(end - reason.len(), end),
    })
}
