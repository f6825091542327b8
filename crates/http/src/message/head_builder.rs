//! Heads of HTTP/2 requests, built from decoded fields (RFC 9113, section 8.3).
//!
//! The fields are written as the text of an HTTP/1 head, so that the look-up of headers is the same for both versions:
//!
//! ```text
//! GET /path?query HTTP/2          from :method and :path
//! host: example.com               from :authority
//! name: value                     the other fields
//!                                 the empty line
//! ```
//!
//! Nothing is allocated if the head has enough memory from its previous request.

use http::{Method, StatusCode};

use super::field_checks::{check_name, check_value, parse_length};
use super::field_name::FieldKind;
use super::invalid::InvalidMessage;
use super::request_head::{BodyLength, HeadParts, RequestHead, Span, TargetForm, Version};
use super::target::{self, check_authority, is_plain_authority};
use super::text::{TOKEN, end_of};

bitflags::bitflags! {
    /// The fields of a head that were received, and their properties.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Received: u16 {
        const METHOD = 1 << 0;
        const PATH = 1 << 1;
        const SCHEME = 1 << 2;
        const AUTHORITY = 1 << 3;
        const PROTOCOL = 1 << 4;
        const HOST = 1 << 5;
        const LENGTH = 1 << 6;
        const EXPECTS_CONTINUE = 1 << 7;
        const EXPECTS_OTHER = 1 << 8;
        /// There are several cookie lines.
        const COOKIES_APART = 1 << 9;
        /// The method is neither `GET` nor `CONNECT`.
        const OTHER_METHOD = 1 << 10;
        /// A header was received: no pseudo-header follows.
        const HEADER = 1 << 11;
    }
}

/// The pseudo-headers of a request other than `CONNECT`. `:authority` is optional.
const USUAL: Received = Received::METHOD
    .union(Received::PATH)
    .union(Received::SCHEME);

/// The settings that determine whether a head is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadRules {
    /// `true` if `:protocol` is allowed: the server has sent `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441).
    pub(crate) connect_protocol: bool,
    /// Maximum size of the first line, in bytes, without its line ending. A longer line is answered with 414.
    pub(crate) request_line: usize,
}

/// A builder of the head of an HTTP/2 request.
///
/// [`field`](HeadBuilder::field) is called for each field of the block in order, and then [`finish`](HeadBuilder::finish), which
/// returns the first error. After an error, the contents of the head are unspecified.
#[derive(Debug)]
pub(crate) struct HeadBuilder<'a> {
    /// Contains the first line after `:path` was received, and the host line after `:authority`.
    head: &'a mut RequestHead,
    rules: HeadRules,
    error: Option<InvalidMessage>,
    received: Received,
    /// The default port of the scheme, with its colon.
    default_port: &'static [u8],
    /// The value of `:protocol`, which few requests have.
    protocol: Vec<u8>,
    /// End of the last cookie line, with its line ending.
    cookie_end: usize,
    length: u64,
}

const DUPLICATE: InvalidMessage =
    InvalidMessage::bad("there is more than one pseudo-header of the same name");
const BAD_METHOD: InvalidMessage = InvalidMessage::bad("the pseudo-header :method is malformed");
const BAD_PATH: InvalidMessage = InvalidMessage::bad("the pseudo-header :path is malformed");
const BAD_SCHEME: InvalidMessage = InvalidMessage::bad("the pseudo-header :scheme is malformed");
const BAD_HOST: InvalidMessage = InvalidMessage::bad(
    "the pseudo-header :authority or the Host header is not a host with an optional port",
);
const BAD_PROTOCOL: InvalidMessage =
    InvalidMessage::bad("the pseudo-header :protocol is malformed");
const UNEXPECTED_PROTOCOL: InvalidMessage =
    InvalidMessage::bad("the pseudo-header :protocol is not allowed");
const UNKNOWN: InvalidMessage = InvalidMessage::bad("a pseudo-header is not known");
const LATE: InvalidMessage = InvalidMessage::bad("a pseudo-header follows a header");
const INCOMPLETE: InvalidMessage = InvalidMessage::bad("a pseudo-header is missing");
const BAD_CONNECT: InvalidMessage = InvalidMessage::bad(
    "a CONNECT request does not consist of :method and :authority, with a host and a port",
);
const CONNECTION_SPECIFIC: InvalidMessage =
    InvalidMessage::bad("a header is not allowed in HTTP/2: it describes a connection of HTTP/1");
const SEVERAL_HOSTS: InvalidMessage = InvalidMessage::bad("there is more than one Host header");
const OTHER_HOST: InvalidMessage =
    InvalidMessage::bad("the Host header differs from the pseudo-header :authority");
const NO_HOST: InvalidMessage =
    InvalidMessage::bad("there is neither the pseudo-header :authority nor a Host header");

impl<'a> HeadBuilder<'a> {
    /// Creates a builder that replaces the contents of `head`.
    #[inline]
    pub(crate) fn new(head: &'a mut RequestHead, rules: HeadRules) -> HeadBuilder<'a> {
        head.bytes.clear();
        head.method = Method::GET;
        head.parts = HeadParts {
            version: Version::Http2,
            ..HeadParts::NONE
        };
        HeadBuilder {
            head,
            rules,
            error: None,
            received: Received::empty(),
            default_port: b":",
            protocol: Vec::new(),
            cookie_end: 0,
            length: 0,
        }
    }

    /// Adds a field. `static_name` is the index of an entry with this name in the static table of HPACK, or 0. Fields after an error are
    /// ignored.
    #[inline]
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], static_name: u8) {
        if self.error.is_none()
            && let Err(error) = self.add(name, value, static_name)
        {
            self.error = Some(error);
        }
    }

    /// Completes the head. `end` is `true` if no body follows: the block has the flag `END_STREAM`.
    ///
    /// # Errors
    ///
    /// The first error of a field, or of the head as a whole.
    pub(crate) fn finish(mut self, end: bool) -> Result<(), InvalidMessage> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.received.contains(Received::HEADER) {
            self.end_pseudo_headers()?;
        }
        if self.received.contains(Received::COOKIES_APART) {
            self.join_cookies();
        }
        if !self
            .received
            .intersects(Received::AUTHORITY | Received::HOST)
        {
            return Err(NO_HOST);
        }
        self.head.bytes.extend_from_slice(b"\r\n");
        let unusual = Received::LENGTH | Received::EXPECTS_OTHER | Received::PROTOCOL;
        match end && !self.received.intersects(unusual) {
            // The other parts keep their defaults.
            true => Ok(()),
            false => self.finish_any(end),
        }
    }

    #[inline]
    fn add(&mut self, name: &[u8], value: &[u8], static_name: u8) -> Result<(), InvalidMessage> {
        let kind = FieldKind::of(name, static_name);
        match kind {
            FieldKind::Method => self.method(value),
            FieldKind::Path => self.path(value),
            FieldKind::Scheme => self.scheme(value),
            FieldKind::Authority => self.authority(value),
            FieldKind::Protocol => self.protocol(value),
            FieldKind::OtherPseudo => Err(UNKNOWN),
            _ => self.header(kind, name, value, static_name),
        }
    }

    /// Records the name of a pseudo-header.
    #[inline]
    fn begin(&mut self, name: Received) -> Result<(), InvalidMessage> {
        if self.received.intersects(name | Received::HEADER) {
            return Err(match self.received.contains(Received::HEADER) {
                true => LATE,
                false => DUPLICATE,
            });
        }
        self.received |= name;
        Ok(())
    }

    #[inline]
    fn method(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        self.begin(Received::METHOD)?;
        if value != b"GET" {
            if value.is_empty() || end_of(&TOKEN, value, 0) != value.len() {
                return Err(BAD_METHOD);
            }
            self.head.method = Method::from_bytes(value).map_err(|_| BAD_METHOD)?;
            // The first line of an extended CONNECT has the method GET.
            if self.head.method != Method::CONNECT {
                self.received |= Received::OTHER_METHOD;
                if self.received.contains(Received::PATH) {
                    self.replace_method(value);
                }
            }
        }
        Ok(())
    }

    /// Replaces the method `GET` of the first line.
    #[cold]
    fn replace_method(&mut self, method: &[u8]) {
        let RequestHead { bytes, parts, .. } = &mut *self.head;
        bytes.splice(..GET.len(), method.iter().copied());
        let (from, to) = (GET.len(), method.len());
        let moved = |position: &mut u32| *position = *position - from as u32 + to as u32;
        moved(&mut parts.fields);
        for span in [
            &mut parts.target,
            &mut parts.path,
            &mut parts.query,
            &mut parts.host,
        ] {
            if span.start > 0 {
                moved(&mut span.start);
                moved(&mut span.end);
            }
        }
    }

    /// Writes the first line, in front of the host line if there is one.
    #[inline]
    fn path(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        self.begin(Received::PATH)?;
        let RequestHead {
            bytes,
            method,
            parts,
        } = &mut *self.head;
        let method = match self.received.contains(Received::OTHER_METHOD) {
            true => method.as_str().as_bytes(),
            false => GET,
        };
        let start = method.len() + 1;
        let end = start + value.len();
        let line = end + VERSION.len();
        if bytes.is_empty() {
            bytes.reserve(line + HOST.len());
            bytes.extend_from_slice(method);
            bytes.push(b' ');
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(VERSION);
        } else {
            let host_line = bytes.len();
            bytes.resize(host_line + line, b' ');
            bytes.copy_within(..host_line, line);
            bytes[..method.len()].copy_from_slice(method);
            bytes[method.len()] = b' ';
            bytes[start..end].copy_from_slice(value);
            bytes[end..line].copy_from_slice(VERSION);
            parts.host = parts.host.shifted(line);
        }
        parts.fields = line as u32;
        parts.target = Span::new(start, end);
        match value {
            [b'/', ..] => {
                if target::path(bytes, start, parts) != end {
                    return Err(BAD_PATH);
                }
                target::check_query(bytes, parts)
            }
            b"*" => {
                parts.path = parts.target;
                parts.form = TargetForm::Asterisk;
                Ok(())
            }
            _ => Err(BAD_PATH),
        }
    }

    #[inline]
    fn scheme(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        self.begin(Received::SCHEME)?;
        match value {
            b"https" => self.default_port = b":443",
            b"http" => self.default_port = b":80",
            _ => {
                // RFC 3986, section 3.1.
                let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                if !value.first().is_some_and(u8::is_ascii_alphabetic)
                    || !value.iter().all(is_scheme)
                {
                    return Err(BAD_SCHEME);
                }
            }
        }
        Ok(())
    }

    /// Writes the host line.
    #[inline]
    fn authority(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        self.begin(Received::AUTHORITY)?;
        let RequestHead { bytes, parts, .. } = &mut *self.head;
        let start = bytes.len() + HOST.len();
        let end = start + value.len();
        bytes.extend_from_slice(HOST);
        bytes.extend_from_slice(value);
        // The spaces complete the last block of the value.
        bytes.extend_from_slice(b"\r\n              ");
        let is_plain = is_plain_authority(bytes, start, end);
        bytes.truncate(end + 2);
        parts.host = Span::new(start, end);
        match is_plain && !value.is_empty() {
            true => Ok(()),
            false => check_host(value),
        }
    }

    #[cold]
    fn protocol(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        self.begin(Received::PROTOCOL)?;
        if !self.rules.connect_protocol {
            return Err(UNEXPECTED_PROTOCOL);
        }
        // A name as in the Upgrade header, with an optional version (RFC 8441, section 4).
        let mut parts = value.splitn(2, |&byte| byte == b'/');
        if !parts.all(|part| !part.is_empty() && end_of(&TOKEN, part, 0) == part.len()) {
            return Err(BAD_PROTOCOL);
        }
        self.protocol = value.to_vec();
        Ok(())
    }

    /// Checks the pseudo-headers together. They are followed by a header or by the end of the head.
    #[inline]
    fn end_pseudo_headers(&mut self) -> Result<(), InvalidMessage> {
        let received = self.received;
        self.received |= Received::HEADER;
        if received.contains(Received::PROTOCOL) || self.head.method == Method::CONNECT {
            self.end_connect()?;
        } else if !received.contains(USUAL) {
            return Err(INCOMPLETE);
        } else if self.head.parts.form == TargetForm::Asterisk
            && self.head.method != Method::OPTIONS
        {
            return Err(BAD_PATH);
        }
        match self.head.parts.fields as usize > self.rules.request_line + 2 {
            true => Err(InvalidMessage::LINE_TOO_LONG),
            false => Ok(()),
        }
    }

    /// Checks the pseudo-headers of a CONNECT request (RFC 9113, section 8.5), or of an extended one (RFC 8441, section 4).
    #[cold]
    fn end_connect(&mut self) -> Result<(), InvalidMessage> {
        if self.received.contains(Received::PROTOCOL) {
            if self.head.method != Method::CONNECT || self.head.parts.form == TargetForm::Asterisk {
                return Err(BAD_PROTOCOL);
            }
            if !self.received.contains(USUAL | Received::AUTHORITY) {
                return Err(INCOMPLETE);
            }
            // An upgrade in HTTP/1 is a GET request, and so the request finds the same route.
            self.head.method = Method::GET;
            return Ok(());
        }
        let RequestHead { bytes, parts, .. } = &mut *self.head;
        let authority = bytes.get(parts.host.range()).unwrap_or_default();
        let others = Received::PATH | Received::SCHEME;
        if self.received.intersects(others) || check_authority(authority) != Some(true) {
            return Err(BAD_CONNECT);
        }
        let line = [b"CONNECT ", authority, VERSION].concat();
        parts.form = TargetForm::Authority;
        parts.target = Span::new(b"CONNECT ".len(), line.len() - VERSION.len());
        parts.host = parts.host.shifted(line.len());
        parts.fields = line.len() as u32;
        bytes.splice(..0, line);
        Ok(())
    }

    /// Adds a header.
    #[inline]
    fn header(
        &mut self,
        kind: FieldKind,
        name: &[u8],
        value: &[u8],
        static_name: u8,
    ) -> Result<(), InvalidMessage> {
        if !self.received.contains(Received::HEADER) {
            self.end_pseudo_headers()?;
        }
        check_value(value)?;
        match kind {
            FieldKind::Other => {
                if static_name == 0 {
                    check_name(name)?;
                }
            }
            FieldKind::Cookie => return self.cookie(value),
            _ => {
                if !self.record(kind, value)? {
                    return Ok(());
                }
            }
        }
        self.write_line(name, value);
        Ok(())
    }

    #[inline]
    fn write_line(&mut self, name: &[u8], value: &[u8]) {
        let bytes = &mut self.head.bytes;
        bytes.reserve(name.len() + value.len() + 4);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }

    /// Records a header that affects the request, and returns `true` if it is kept.
    #[inline(never)]
    fn record(&mut self, kind: FieldKind, value: &[u8]) -> Result<bool, InvalidMessage> {
        match kind {
            FieldKind::Host => return self.host(value),
            FieldKind::ContentLength => {
                if self.received.contains(Received::LENGTH) {
                    return Err(InvalidMessage::bad("there is more than one Content-Length"));
                }
                self.length = parse_length(value)?;
                self.received |= Received::LENGTH;
            }
            FieldKind::Expect => {
                self.received |= match value.eq_ignore_ascii_case(b"100-continue") {
                    true => Received::EXPECTS_CONTINUE,
                    false => Received::EXPECTS_OTHER,
                };
            }
            FieldKind::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(CONNECTION_SPECIFIC);
            }
            FieldKind::Connection => return Err(CONNECTION_SPECIFIC),
            _ => {}
        }
        Ok(true)
    }

    /// Records a `Host` header. It is kept if there is no `:authority`.
    fn host(&mut self, value: &[u8]) -> Result<bool, InvalidMessage> {
        if self.received.contains(Received::HOST) {
            return Err(SEVERAL_HOSTS);
        }
        self.received |= Received::HOST;
        if !self.received.contains(Received::AUTHORITY) {
            check_host(value)?;
            let start = self.head.bytes.len() + HOST.len();
            self.head.parts.host = Span::new(start, start + value.len());
            return Ok(true);
        }
        let authority = self.head.bytes.get(self.head.parts.host.range());
        let authority = without_port(authority.unwrap_or_default(), self.default_port);
        match authority.eq_ignore_ascii_case(without_port(value, self.default_port)) {
            true => Ok(false),
            false => Err(OTHER_HOST),
        }
    }

    /// Adds cookies to the cookie line (RFC 9113, section 8.2.3).
    #[inline]
    fn cookie(&mut self, value: &[u8]) -> Result<(), InvalidMessage> {
        let length = self.head.bytes.len();
        if self.cookie_end == length {
            self.head.bytes.truncate(length - 2);
            self.head.bytes.reserve(value.len() + 4);
            for part in [b"; ", value, b"\r\n"] {
                self.head.bytes.extend_from_slice(part);
            }
        } else {
            if self.cookie_end > 0 {
                self.received |= Received::COOKIES_APART;
            }
            self.write_line(b"cookie", value);
        }
        self.cookie_end = self.head.bytes.len();
        Ok(())
    }

    /// Replaces the cookie lines by one line at the end.
    #[cold]
    fn join_cookies(&mut self) {
        let RequestHead { bytes, parts, .. } = &mut *self.head;
        let fields = parts.fields as usize;
        let mut lines = Vec::with_capacity(bytes.len());
        lines.extend_from_slice(&bytes[..fields]);
        let mut cookies = Vec::new();
        for line in bytes[fields..].split_inclusive(|&byte| byte == b'\n') {
            if let Some(value) = line.strip_prefix(COOKIE) {
                let separator: &[u8] = if cookies.is_empty() { COOKIE } else { b"; " };
                cookies.extend_from_slice(separator);
                cookies.extend_from_slice(value.strip_suffix(b"\r\n").unwrap_or(value));
            } else {
                if line.starts_with(HOST) {
                    let start = lines.len() + HOST.len();
                    parts.host = Span::new(start, lines.len() + line.len() - 2);
                }
                lines.extend_from_slice(line);
            }
        }
        bytes.clear();
        for part in [&lines[..], &cookies, b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }

    /// Sets the properties of a request with a body, an expectation or a protocol.
    #[inline(never)]
    fn finish_any(&mut self, end: bool) -> Result<(), InvalidMessage> {
        let RequestHead { bytes, parts, .. } = &mut *self.head;
        let has_length = self.received.contains(Received::LENGTH);
        if end && self.length > 0 {
            return Err(InvalidMessage::bad(
                "the request ends before the length of its Content-Length",
            ));
        }
        let is_connect = parts.form == TargetForm::Authority || !self.protocol.is_empty();
        if is_connect && self.length > 0 {
            return Err(InvalidMessage::bad(
                "a CONNECT request must not have a body",
            ));
        }
        if self.received.contains(Received::EXPECTS_OTHER) {
            return Err(InvalidMessage::new(
                StatusCode::EXPECTATION_FAILED,
                "the expectation in Expect is not supported",
            ));
        }
        parts.body = match (has_length, end) {
            // The data of the stream belongs to the protocol.
            _ if !self.protocol.is_empty() => BodyLength::None,
            (true, _) => BodyLength::Bytes(self.length),
            (false, true) => BodyLength::None,
            (false, false) => BodyLength::Chunked,
        };
        let has_body = !matches!(parts.body, BodyLength::None | BodyLength::Bytes(0));
        parts.expects_continue = self.received.contains(Received::EXPECTS_CONTINUE) && has_body;
        if !self.protocol.is_empty() {
            parts.upgrade = true;
            parts.protocol = bytes.len() as u32;
            bytes.extend_from_slice(&self.protocol);
        }
        Ok(())
    }
}

/// The method of most requests.
const GET: &[u8] = b"GET";
/// The end of a first line.
const VERSION: &[u8] = b" HTTP/2\r\n";
/// The start of the host line.
const HOST: &[u8] = b"host: ";
/// The start of a cookie line.
const COOKIE: &[u8] = b"cookie: ";

/// Checks a host with an optional port, which must not be empty.
#[inline]
fn check_host(host: &[u8]) -> Result<(), InvalidMessage> {
    match !host.is_empty() && check_authority(host).is_some() {
        true => Ok(()),
        false => Err(BAD_HOST),
    }
}

/// Returns a host without its port if that is empty or the default one (RFC 3986, section 6.2.3).
fn without_port<'a>(host: &'a [u8], default_port: &[u8]) -> &'a [u8] {
    let host = host.strip_suffix(default_port).unwrap_or(host);
    host.strip_suffix(b":").unwrap_or(host)
}

#[cfg(test)]
mod tests;
