//! Fields that determine the framing of a message and the persistence of its connection.

use crate::message::field_name::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE,
};
use crate::message::invalid::InvalidMessage;
use crate::message::parse_length;
use crate::message::request_head::{BodyLength, HeadParts, Span, TargetForm, Version};
use crate::message::target::{check_authority, is_plain_authority};
use crate::message::text::is_token;

use http::StatusCode;

/// The framing and connection fields read so far.
#[derive(Debug, Default)]
pub(super) struct RequestFraming {
    /// The default span until a `Host` header is read.
    host: Span,
    length: u64,
    flags: u8,
}

const HAS_LENGTH: u8 = 1;
const CHUNKED: u8 = 2;
const EXPECTS_CONTINUE: u8 = 4;
const EXPECTS_OTHER: u8 = 8;
const UPGRADES: u8 = 16;
const CONNECTION_CLOSE: u8 = 32;
const CONNECTION_KEEP_ALIVE: u8 = 64;
const CONNECTION_UPGRADE: u8 = 128;

impl RequestFraming {
    /// Records the field at the start of `line`, which is at offset `at` of the head. Its name ends at `colon` and its line at `end`.
    #[inline(always)]
    pub(super) fn field(
        &mut self,
        line: &[u8],
        at: usize,
        colon: usize,
        end: usize,
    ) -> Result<(), InvalidMessage> {
        let Some(&first) = line.first() else {
            return Ok(());
        };
        match colon << 8 | usize::from(first | 0x20) {
            HOST if matches_name(name(line, colon), b"host") => self.host(line, at, colon + 1, end),
            CONNECTION if matches_name(name(line, colon), b"connection") => {
                self.connection(value(line, colon, end));
                Ok(())
            }
            CONTENT_LENGTH | EXPECT | TRANSFER_ENCODING | UPGRADE => {
                self.rare_field(name(line, colon), value(line, colon, end))
            }
            _ => Ok(()),
        }
    }

    /// Records a field other than `Host` and `Connection`, which few requests have.
    #[inline(never)]
    fn rare_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidMessage> {
        if matches_name(name, b"content-length") {
            return self.content_length(value);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return self.transfer_encoding(value);
        }
        if matches_name(name, b"upgrade") {
            self.flags |= UPGRADES;
        }
        if matches_name(name, b"expect") {
            self.flags |= match value.eq_ignore_ascii_case(b"100-continue") {
                true => EXPECTS_CONTINUE,
                false => EXPECTS_OTHER,
            };
        }
        Ok(())
    }

    #[inline(always)]
    fn host(
        &mut self,
        line: &[u8],
        at: usize,
        mut start: usize,
        mut end: usize,
    ) -> Result<(), InvalidMessage> {
        if self.host != Span::default() {
            return Err(InvalidMessage::bad("there is more than one Host header"));
        }
        // The value nearly always starts after one space.
        start += usize::from(line.get(start) == Some(&b' '));
        if !is_plain_authority(line, start, end) {
            (start, end) = trimmed(line, start, end);
            if check_authority(line.get(start..end).unwrap_or_default()).is_none() {
                return Err(InvalidMessage::bad(
                    "the Host header is not a host with an optional port",
                ));
            }
        }
        self.host = Span::new(at + start, at + end);
        Ok(())
    }

    #[inline]
    fn connection(&mut self, value: &[u8]) {
        if matches_name(value, b"keep-alive") {
            self.flags |= CONNECTION_KEEP_ALIVE;
        } else {
            self.connection_options(value);
        }
    }

    #[inline(never)]
    fn connection_options(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.flags |= CONNECTION_KEEP_ALIVE;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.flags |= CONNECTION_CLOSE;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.flags |= CONNECTION_UPGRADE;
            }
        }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        if self.has(HAS_LENGTH) {
            return Err(InvalidMessage::bad("there is more than one Content-Length"));
        }
        self.length = parse_length(value)?;
        self.flags |= HAS_LENGTH;
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        if self.has(CHUNKED) {
            return Err(InvalidMessage::bad(
                "there is more than one Transfer-Encoding",
            ));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.flags |= CHUNKED;
            return Ok(());
        }
        let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let last = codings.next_back().unwrap_or_default();
        let known = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let token = |coding: &[u8]| !coding.is_empty() && coding.iter().all(|&byte| is_token(byte));
        // Valid codings that are not supported are answered with 501. Every other list leaves the end of the body undefined.
        let (mut any, mut plain) = (false, token(last));
        for coding in codings {
            any = true;
            plain &= token(coding) && !known(coding);
        }
        Err(if plain && any == known(last) {
            InvalidMessage::new(
                StatusCode::NOT_IMPLEMENTED,
                "the Transfer-Encoding is not supported",
            )
        } else {
            InvalidMessage::bad("the Transfer-Encoding is malformed")
        })
    }

    /// Validates the fields together, and stores the results in `parts`.
    #[inline(always)]
    pub(super) fn validate(&self, parts: &mut HeadParts) -> Result<(), InvalidMessage> {
        let is_usual = self.flags & !CONNECTION_KEEP_ALIVE == 0
            && parts.version == Version::Http11
            && parts.form == TargetForm::Origin
            && self.host != Span::default();
        if is_usual {
            // The other parts keep their defaults.
            parts.host = self.host;
            return Ok(());
        }
        self.validate_any(parts)
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.has(CONNECTION_CLOSE)
            && (version == Version::Http11 || self.has(CONNECTION_KEEP_ALIVE))
    }

    fn body_length(&self, version: Version) -> Result<BodyLength, InvalidMessage> {
        match (self.has(HAS_LENGTH), self.has(CHUNKED)) {
            (false, false) => Ok(BodyLength::None),
            (true, false) => Ok(BodyLength::Bytes(self.length)),
            (false, true) if version == Version::Http11 => Ok(BodyLength::Chunked),
            (false, true) => Err(InvalidMessage::bad(
                "Transfer-Encoding is not allowed in HTTP/1.0",
            )),
            (true, true) => Err(InvalidMessage::bad(
                "there are both Content-Length and Transfer-Encoding",
            )),
        }
    }

    #[inline(never)]
    fn validate_any(&self, parts: &mut HeadParts) -> Result<(), InvalidMessage> {
        let version = parts.version;
        let is_connect = parts.form == TargetForm::Authority;
        let body = self.body_length(version)?;
        if version == Version::Http11 && self.host == Span::default() {
            return Err(InvalidMessage::bad("the Host header is missing"));
        }
        let has_body = !matches!(body, BodyLength::None | BodyLength::Bytes(0));
        if is_connect && has_body {
            return Err(InvalidMessage::bad(
                "a CONNECT request must not have a body",
            ));
        }
        if self.has(EXPECTS_OTHER) && version == Version::Http11 {
            return Err(InvalidMessage::new(
                StatusCode::EXPECTATION_FAILED,
                "the expectation in Expect is not supported",
            ));
        }
        if parts.host == Span::default() {
            parts.host = self.host;
        }
        parts.body = body;
        // The bytes after CONNECT may belong to the tunnel.
        parts.keep_alive = !is_connect && self.keep_alive(version);
        parts.expects_continue =
            self.has(EXPECTS_CONTINUE) && has_body && version == Version::Http11;
        parts.upgrade =
            self.has(UPGRADES) && self.has(CONNECTION_UPGRADE) && version == Version::Http11;
        Ok(())
    }
}

/// The framing and connection fields of a response.
#[derive(Debug, Default)]
pub(super) struct ResponseFraming {
    framing: RequestFraming,
    /// The first error in the body framing. It is ignored if the response has no body.
    problem: Option<InvalidMessage>,
}

impl ResponseFraming {
    /// Records the field at the start of `line`. Its name ends at `colon` and its line at `end`.
    pub(super) fn field(&mut self, line: &[u8], colon: usize, end: usize) {
        let (name, value) = (name(line, colon), value(line, colon, end));
        let recorded = if matches_name(name, b"content-length") {
            self.framing.content_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.framing.transfer_encoding(value)
        } else {
            if matches_name(name, b"connection") {
                self.framing.connection(value);
            }
            Ok(())
        };
        if let Err(problem) = recorded {
            self.problem.get_or_insert(problem);
        }
    }

    /// Returns the framing of the body; [`BodyLength::None`] means that it ends with the connection.
    ///
    /// # Errors
    ///
    /// Returns the first error in the body framing.
    pub(super) fn body(&self, version: Version) -> Result<BodyLength, InvalidMessage> {
        match self.problem {
            Some(problem) => Err(problem),
            None => self.framing.body_length(version),
        }
    }

    /// Returns `true` if another request may follow on the connection.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        self.framing.keep_alive(version)
    }
}

/// Compares text with a name of 4 to 16 lower-case letters and hyphens, ignoring case. Setting the lower-case bit maps no other valid
/// character to one of these: only the control character CR becomes a hyphen.
#[inline(always)]
fn matches_name<const N: usize>(text: &[u8], name: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    // Two words cover the name; they overlap if it is shorter than both together.
    if N >= 8 {
        let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let [first, last] = [text.first_chunk(), text.last_chunk()].map(word);
        let [name_first, name_last] = [name.first_chunk(), name.last_chunk()].map(word);
        let lower = u64::from_le_bytes([0x20; 8]);
        ((first | lower) ^ name_first) | ((last | lower) ^ name_last) == 0
    } else {
        let word = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let [first, last] = [text.first_chunk(), text.last_chunk()].map(word);
        let [name_first, name_last] = [name.first_chunk(), name.last_chunk()].map(word);
        let lower = u32::from_le_bytes([0x20; 4]);
        ((first | lower) ^ name_first) | ((last | lower) ^ name_last) == 0
    }
}

#[inline(always)]
fn name(line: &[u8], colon: usize) -> &[u8] {
    line.get(..colon).unwrap_or_default()
}

/// Returns the value between the colon and the end of the line.
#[inline]
fn value(head: &[u8], colon: usize, end: usize) -> &[u8] {
    let (start, end) = trimmed(head, colon + 1, end);
    head.get(start..end).unwrap_or_default()
}

/// Returns the start and end of the text without surrounding white space.
#[inline]
fn trimmed(head: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && matches!(head[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(head[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    (start, end)
}
