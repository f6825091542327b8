//! What the fields of a head say about its message and its connection.

use super::invalid::Invalid;
use super::request_head::{BodyLength, Parts, Span, Version};
use super::target::check_authority;
use super::text::is_token;

use http::StatusCode;

/// What was found in the fields so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Empty at 0 as long as there is none.
    pub(super) host: Span,
    length: Option<u64>,
    chunked: bool,
    expects_continue: bool,
    expects_other: bool,
    upgrade: bool,
    connection_close: bool,
    connection_keep_alive: bool,
    connection_upgrade: bool,
}

impl Facts {
    /// Looks at a field whose value is at `at` of its head.
    #[inline]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8], at: usize) -> Result<(), Invalid> {
        let Some(&first) = name.first() else {
            return Ok(());
        };
        match (name.len(), first | 0x20) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => self.host(value, at),
            (6, b'e') if name.eq_ignore_ascii_case(b"expect") => {
                self.expect(value);
                Ok(())
            }
            (7, b'u') if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => {
                self.connection(value);
                Ok(())
            }
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length(value)
            }
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value)
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8], at: usize) -> Result<(), Invalid> {
        if self.host != Span::default() {
            return Err(Invalid::bad("there is more than one Host"));
        }
        if check_authority(value).is_none() {
            return Err(Invalid::bad("the Host is not a host and perhaps a port"));
        }
        self.host = Span {
            start: at as u32,
            end: (at + value.len()) as u32,
        };
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"100-continue") {
            self.expects_continue = true;
        } else {
            self.expects_other = true;
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for token in value.split(|&byte| byte == b',') {
            let token = token.trim_ascii();
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.connection_keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.connection_close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.connection_upgrade = true;
            }
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Invalid> {
        if self.length.is_some() {
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
        self.length = Some(length.ok_or(too_large)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Invalid> {
        if self.chunked {
            return Err(Invalid::bad("there is more than one Transfer-Encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            self.chunked = true;
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

    /// Looks at all of it together.
    #[inline]
    pub(super) fn conclude(self, is_connect: bool, parts: &mut Parts) -> Result<(), Invalid> {
        let version = parts.version;
        let body = match (self.length, self.chunked) {
            (None, false) => BodyLength::None,
            (Some(length), false) => BodyLength::Bytes(length),
            (None, true) if version == Version::Http11 => BodyLength::Chunked,
            (None, true) => return Err(Invalid::bad("HTTP/1.0 has no Transfer-Encoding")),
            (Some(_), true) => {
                return Err(Invalid::bad(
                    "there are both Content-Length and Transfer-Encoding",
                ));
            }
        };
        if version == Version::Http11 && self.host == Span::default() {
            return Err(Invalid::bad("there is no Host"));
        }
        let has_body = !matches!(body, BodyLength::None | BodyLength::Bytes(0));
        if is_connect && has_body {
            return Err(Invalid::bad("CONNECT has no body"));
        }
        if self.expects_other && version == Version::Http11 {
            return Err(Invalid::new(
                StatusCode::EXPECTATION_FAILED,
                "the Expect is not supported",
            ));
        }
        parts.body = body;
        // What follows CONNECT may be meant for someone else.
        parts.keep_alive = match version {
            Version::Http11 => !self.connection_close && !is_connect,
            Version::Http10 => self.connection_keep_alive && !self.connection_close && !is_connect,
        };
        parts.expects_continue = self.expects_continue && has_body && version == Version::Http11;
        parts.upgrade = self.upgrade && self.connection_upgrade && version == Version::Http11;
        Ok(())
    }
}
