//! The head of a request, parsed from the received bytes.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, Method};
use memchr::memchr;

use super::fields::{Fields, to_header_map};

/// An HTTP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and higher minor versions, which are treated as 1.1 (RFC 9110, section 2.5).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
}

impl Version {
    /// Returns the name of the version in logs, as other servers write it.
    pub(crate) fn log_name(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// The framing of a request body (RFC 9112, section 6; RFC 9113, section 8.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body.
    None,
    /// `Content-Length`, with the number of bytes, which may be 0.
    Bytes(u64),
    /// A body of unknown length: `Transfer-Encoding: chunked`, or HTTP/2 without `Content-Length`.
    Chunked,
}

/// The form of a request target (RFC 9112, section 3.2). In HTTP/2, the target is `:path`, or `:authority` for `CONNECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// A path with an optional query: `/where?q=now`.
    Origin,
    /// A complete URI, as sent to proxies: `http://example.com/where?q=now`.
    Absolute,
    /// A host and port, for `CONNECT`: `example.com:80`.
    Authority,
    /// The whole server, for `OPTIONS`: `*`.
    Asterisk,
}

/// A range of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn shifted(self, by: usize) -> Span {
        Span::new(self.start as usize + by, self.end as usize + by)
    }
}

/// The head of a request: its validated first line and fields.
///
/// It stores the received bytes, and looking up a field searches them. Use [`to_header_map`] to access many fields.
///
/// [`to_header_map`]: RequestHead::to_header_map
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: Method,
    pub(crate) parts: HeadParts,
}

/// The positions of the parts of a head in its bytes, and the properties set by its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadParts {
    pub(crate) body: BodyLength,
    pub(crate) target: Span,
    pub(crate) path: Span,
    /// Starts after the question mark. Empty at position 0 if there is no query.
    pub(crate) query: Span,
    /// Empty at position 0 if there is no host.
    pub(crate) host: Span,
    /// Start of the fields.
    pub(crate) fields: u32,
    /// Start of the value of `:protocol`, which follows the empty line; 0 if there is none.
    pub(crate) protocol: u32,
    pub(crate) version: Version,
    pub(crate) form: TargetForm,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: bool,
}

impl HeadParts {
    /// The initial value, before a head is parsed.
    pub(crate) const NONE: HeadParts = HeadParts {
        body: BodyLength::None,
        target: Span { start: 0, end: 0 },
        path: Span { start: 0, end: 0 },
        query: Span { start: 0, end: 0 },
        host: Span { start: 0, end: 0 },
        fields: 0,
        protocol: 0,
        version: Version::Http11,
        form: TargetForm::Origin,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
    };
}

impl Default for RequestHead {
    /// Creates an empty head, to be filled by [`h2::Connection::receive`](crate::h2::Connection::receive).
    fn default() -> RequestHead {
        RequestHead::new()
    }
}

impl RequestHead {
    /// Creates an empty head, to be filled by [`read`](RequestHead::read).
    pub(crate) const fn new() -> RequestHead {
        RequestHead {
            bytes: Vec::new(),
            method: Method::GET,
            parts: HeadParts::NONE,
        }
    }

    /// Removes the head, and keeps memory of up to `most` bytes.
    pub(crate) fn clear(&mut self, most: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(most);
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the client's version.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// Returns the target as sent, consisting of visible ASCII characters.
    pub fn target(&self) -> &str {
        self.text(self.parts.target)
    }

    /// Returns the form of the target.
    pub fn form(&self) -> TargetForm {
        self.parts.form
    }

    /// Returns the path of the target as sent, with its percent-encoding: `/` for a URI without a path, `*` for the asterisk form, and an
    /// empty string for `CONNECT`.
    pub fn raw_path(&self) -> &str {
        str::from_utf8(self.raw_path_bytes()).unwrap_or_default()
    }

    /// Same as [`raw_path`](RequestHead::raw_path), as bytes.
    #[inline]
    pub(crate) fn raw_path_bytes(&self) -> &[u8] {
        match self.parts.form {
            TargetForm::Absolute if self.parts.path == Span::default() => b"/",
            _ => self.path_bytes(),
        }
    }

    /// Same as [`raw_path_bytes`](RequestHead::raw_path_bytes), but empty for a URI without a path.
    #[inline]
    pub(crate) fn path_bytes(&self) -> &[u8] {
        self.bytes.get(self.parts.path.range()).unwrap_or_default()
    }

    /// Returns the query: the part of the target after the first question mark.
    pub fn query(&self) -> Option<&str> {
        (self.parts.query.start > 0).then(|| self.text(self.parts.query))
    }

    /// Returns the requested authority, a host and an optional port: from the target or `:authority` if there is one, otherwise from
    /// `Host` (RFC 9112, 3.3; RFC 9113, 8.3.1). Returns `None` for an HTTP/1.0 request without `Host`, and an empty string if `Host` is empty.
    pub fn host(&self) -> Option<&str> {
        (self.parts.host.start > 0).then(|| self.text(self.parts.host))
    }

    /// Returns `true` if the format of the response does not depend on the request: the version is 1.1 and the method is not `HEAD`.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.parts.version == Version::Http11 && self.method != Method::HEAD
    }

    /// Returns the framing of the body.
    pub fn body(&self) -> BodyLength {
        self.parts.body
    }

    /// Returns `true` if the client may send another request on this connection (RFC 9112, section 9.3). Always
    /// `true` for HTTP/2.
    pub fn keep_alive(&self) -> bool {
        self.parts.keep_alive
    }

    /// Returns `true` if the client waits for `100 Continue` before it sends the body (RFC 9110, section 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.parts.expects_continue
    }

    /// Returns `true` if the client requests an upgrade: to a protocol named in `Upgrade` (RFC 9110, section 7.8), or in HTTP/2 by an
    /// extended `CONNECT` ([`protocol`](RequestHead::protocol)).
    pub fn is_upgrade(&self) -> bool {
        self.parts.upgrade
    }

    /// Returns the protocol that an extended `CONNECT` request of HTTP/2 requests for its stream, such as `websocket` (RFC 8441). The
    /// [method](RequestHead::method) of such a request is `GET`, as for an upgrade in HTTP/1.
    pub fn protocol(&self) -> Option<&str> {
        let start = self.parts.protocol as usize;
        (start > 0).then(|| self.text(Span::new(start, self.bytes.len())))
    }

    /// Returns `true` if the client accepts trailers after the response body (`TE: trailers`; RFC 9110, section 10.1.4).
    pub fn accepts_trailers(&self) -> bool {
        let mut codings = self
            .fields_of("te")
            .flat_map(|value| value.split(|&byte| byte == b','));
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    }

    /// Returns all fields in order.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.as_bytes()[self.parts.fields as usize..])
    }

    /// Returns the first value of a field. Names are case-insensitive.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().next_of(name)
    }

    /// Returns all values of a field in order. Names are case-insensitive.
    pub fn fields_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut fields = self.fields();
        std::iter::from_fn(move || fields.next_of(name))
    }

    /// Returns `true` if the request requests an upgrade and its `Upgrade` header, or in HTTP/2 its
    /// [protocol](RequestHead::protocol), lists all protocols of the comma-separated list `protocols`. Names are compared
    /// case-insensitively, versions exactly.
    pub fn lists_upgrades(&self, protocols: &[u8]) -> bool {
        let mut protocols = protocols
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii);
        if let Some(requested) = self.protocol() {
            return protocols.all(|protocol| is_same_protocol(requested.as_bytes(), protocol));
        }
        self.is_upgrade()
            && protocols.all(|protocol| {
                self.fields_of("upgrade")
                    .flat_map(|value| value.split(|&byte| byte == b','))
                    .any(|listed| is_same_protocol(listed.trim_ascii(), protocol))
            })
    }

    /// Returns the fields as a map, whose values share one copy of the head.
    pub fn to_header_map(&self) -> HeaderMap {
        let head = Bytes::copy_from_slice(self.as_bytes());
        to_header_map(&head, Fields::new(&head[self.parts.fields as usize..]))
    }

    /// Returns the bytes of the head, from the method to the empty line. The head of an HTTP/2 request is written as in HTTP/1, with
    /// the version `HTTP/2`, `:authority` as `host`, and the names in lower case.
    pub fn as_bytes(&self) -> &[u8] {
        match self.parts.protocol {
            0 => &self.bytes,
            end => self.bytes.get(..end as usize).unwrap_or_default(),
        }
    }

    fn text(&self, span: Span) -> &str {
        self.bytes
            .get(span.range())
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// Returns `true` if two protocols have the same name, and the same version or none.
fn is_same_protocol(one: &[u8], other: &[u8]) -> bool {
    let name_length = |protocol: &[u8]| memchr(b'/', protocol).unwrap_or(protocol.len());
    let (name, version) = one.split_at(name_length(one));
    let (other_name, other_version) = other.split_at(name_length(other));
    !name.is_empty() && name.eq_ignore_ascii_case(other_name) && version == other_version
}
