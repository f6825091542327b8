//! What the fields of a head say about its message and its connection.

use super::invalid::Invalid;
use super::request_head::{BodyLength, Parts, Span, TargetForm, Version};
use super::target::{check_authority, is_plain_authority};
use super::text::is_token;

use http::StatusCode;

/// The fields of framing and connection that were read so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Empty at 0 as long as there is none.
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

/// The length of a name above its first letter.
const fn key(name: &str) -> usize {
    name.len() << 8 | name.as_bytes()[0] as usize
}

const HOST: usize = key("host");
const CONNECTION: usize = key("connection");
const CONTENT_LENGTH: usize = key("content-length");
const EXPECT: usize = key("expect");
const TRANSFER_ENCODING: usize = key("transfer-encoding");
const UPGRADE: usize = key("upgrade");

impl Facts {
    /// Notes a field at the beginning of `line`, which is at a place of its head; its name and its line end at `colon` and `end`.
    #[inline(always)]
    pub(super) fn field(
        &mut self,
        line: &[u8],
        at: usize,
        colon: usize,
        end: usize,
    ) -> Result<(), Invalid> {
        let Some(&first) = line.first() else {
            return Ok(());
        };
        match colon << 8 | usize::from(first | 0x20) {
            HOST if is(name(line, colon), b"host") => self.host(line, at, colon + 1, end),
            CONNECTION if is(name(line, colon), b"connection") => {
                self.connection(value(line, colon, end));
                Ok(())
            }
            CONTENT_LENGTH | EXPECT | TRANSFER_ENCODING | UPGRADE => {
                self.seldom(name(line, colon), value(line, colon, end))
            }
            _ => Ok(()),
        }
    }

    /// Notes a field that few requests have.
    #[inline(never)]
    fn seldom(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        if is(name, b"content-length") {
            return self.content_length(value);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return self.transfer_encoding(value);
        }
        if is(name, b"upgrade") {
            self.flags |= UPGRADES;
        }
        if is(name, b"expect") {
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
    ) -> Result<(), Invalid> {
        if self.host != Span::default() {
            return Err(Invalid::bad("there is more than one Host"));
        }
        // Nearly always, there is one space.
        start += usize::from(line.get(start) == Some(&b' '));
        if !is_plain_authority(line, start, end) {
            (start, end) = trimmed(line, start, end);
            if check_authority(line.get(start..end).unwrap_or_default()).is_none() {
                return Err(Invalid::bad("the Host is not a host and perhaps a port"));
            }
        }
        self.host = Span::new(at + start, at + end);
        Ok(())
    }

    #[inline]
    fn connection(&mut self, value: &[u8]) {
        if is(value, b"keep-alive") {
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

    fn content_length(&mut self, value: &[u8]) -> Result<(), Invalid> {
        if self.has(HAS_LENGTH) {
            return Err(Invalid::bad("there is more than one Content-Length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Invalid::bad("the Content-Length is not a number"));
        }
        let length = value.iter().try_fold(0u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        let too_large = Invalid::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the Content-Length is too large",
        );
        self.length = length.ok_or(too_large)?;
        self.flags |= HAS_LENGTH;
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Invalid> {
        if self.has(CHUNKED) {
            return Err(Invalid::bad("there is more than one Transfer-Encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.flags |= CHUNKED;
            return Ok(());
        }
        let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let last = codings.next_back().unwrap_or_default();
        let known = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let token = |coding: &[u8]| !coding.is_empty() && coding.iter().all(|&byte| is_token(byte));
        // Something before the chunks, or something alone: understood, but not supported. Everything else has no end
        // that a server could know.
        let (mut any, mut plain) = (false, token(last));
        for coding in codings {
            any = true;
            plain &= token(coding) && !known(coding);
        }
        Err(if plain && any == known(last) {
            Invalid::new(
                StatusCode::NOT_IMPLEMENTED,
                "the Transfer-Encoding is not supported",
            )
        } else {
            Invalid::bad("the Transfer-Encoding is malformed")
        })
    }

    /// Checks all fields together, and notes in `parts` what follows from them.
    #[inline(always)]
    pub(super) fn conclude(&self, parts: &mut Parts) -> Result<(), Invalid> {
        let is_usual = self.flags & !CONNECTION_KEEP_ALIVE == 0
            && parts.version == Version::Http11
            && parts.form == TargetForm::Origin
            && self.host != Span::default();
        if is_usual {
            // The other parts are what they are without fields.
            parts.host = self.host;
            return Ok(());
        }
        self.conclude_any(parts)
    }

    fn keep_alive(&self, version: Version) -> bool {
        !self.has(CONNECTION_CLOSE)
            && (version == Version::Http11 || self.has(CONNECTION_KEEP_ALIVE))
    }

    fn body_length(&self, version: Version) -> Result<BodyLength, Invalid> {
        match (self.has(HAS_LENGTH), self.has(CHUNKED)) {
            (false, false) => Ok(BodyLength::None),
            (true, false) => Ok(BodyLength::Bytes(self.length)),
            (false, true) if version == Version::Http11 => Ok(BodyLength::Chunked),
            (false, true) => Err(Invalid::bad("HTTP/1.0 has no Transfer-Encoding")),
            (true, true) => Err(Invalid::bad(
                "there are both Content-Length and Transfer-Encoding",
            )),
        }
    }

    #[inline(never)]
    fn conclude_any(&self, parts: &mut Parts) -> Result<(), Invalid> {
        let version = parts.version;
        let is_connect = parts.form == TargetForm::Authority;
        let body = self.body_length(version)?;
        if version == Version::Http11 && self.host == Span::default() {
            return Err(Invalid::bad("there is no Host"));
        }
        let has_body = !matches!(body, BodyLength::None | BodyLength::Bytes(0));
        if is_connect && has_body {
            return Err(Invalid::bad("CONNECT has no body"));
        }
        if self.has(EXPECTS_OTHER) && version == Version::Http11 {
            return Err(Invalid::new(
                StatusCode::EXPECTATION_FAILED,
                "the Expect is not supported",
            ));
        }
        if parts.host == Span::default() {
            parts.host = self.host;
        }
        parts.body = body;
        // What follows CONNECT may be meant for someone else.
        parts.keep_alive = !is_connect && self.keep_alive(version);
        parts.expects_continue =
            self.has(EXPECTS_CONTINUE) && has_body && version == Version::Http11;
        parts.upgrade =
            self.has(UPGRADES) && self.has(CONNECTION_UPGRADE) && version == Version::Http11;
        Ok(())
    }
}

/// The same for a response.
#[derive(Debug, Default)]
pub(super) struct ResponseFacts {
    facts: Facts,
    /// The first error in the framing of the body, which is ignored for a response without a body.
    problem: Option<Invalid>,
}

impl ResponseFacts {
    /// Notes a field at the beginning of `line`; its name and its line end at `colon` and `end`.
    pub(super) fn field(&mut self, line: &[u8], colon: usize, end: usize) {
        let (name, value) = (name(line, colon), value(line, colon, end));
        let noted = if is(name, b"content-length") {
            self.facts.content_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.facts.transfer_encoding(value)
        } else {
            if is(name, b"connection") {
                self.facts.connection(value);
            }
            Ok(())
        };
        if let Err(problem) = noted {
            self.problem.get_or_insert(problem);
        }
    }

    /// Returns how the body is delimited: by the end of the connection when [`BodyLength::None`].
    ///
    /// # Errors
    ///
    /// The end of the body is not certain.
    pub(super) fn body(&self, version: Version) -> Result<BodyLength, Invalid> {
        match self.problem {
            Some(problem) => Err(problem),
            None => self.facts.body_length(version),
        }
    }

    /// Returns whether another request may follow.
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        self.facts.keep_alive(version)
    }
}

/// Returns whether text is a name of 4 to 16 lower-case letters and hyphens, without case. Setting the bit of lower case makes no other
/// character of text equal to one of these: only the control character CR becomes a hyphen.
#[inline(always)]
fn is<const N: usize>(text: &[u8], name: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else {
        return false;
    };
    // Two words, which overlap unless the name is as long as both.
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

/// Returns the value of a field between a colon and the end of its line.
#[inline]
fn value(head: &[u8], colon: usize, end: usize) -> &[u8] {
    let (start, end) = trimmed(head, colon + 1, end);
    head.get(start..end).unwrap_or_default()
}

/// Returns where text starts and ends without the white space around it.
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
