//! The head of a request, found in the bytes that came.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, Method};
use memchr::memchr;

use super::fields::{Fields, to_header_map};

/// A version of HTTP that has the format of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and higher minor versions, which are treated as 1.1 (RFC 9110, 2.5).
    Http11,
}

/// How the body of a request is delimited (RFC 9112, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// By a `Content-Length` of so many bytes, which may be 0.
    Bytes(u64),
    /// By `Transfer-Encoding: chunked`.
    Chunked,
}

/// The forms of a request's target (RFC 9112, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// A path and perhaps a query: `/where?q=now`.
    Origin,
    /// A whole URI, as proxies get it: `http://example.com/where?q=now`.
    Absolute,
    /// Host and port, for `CONNECT`: `example.com:80`.
    Authority,
    /// The server as a whole, for `OPTIONS`: `*`.
    Asterisk,
}

/// A place in a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Span {
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The head of a request: its first line and its fields, which were validated.
///
/// It keeps its bytes, and finding a field looks through them. Take [`to_header_map`] where many fields are wanted.
///
/// [`to_header_map`]: RequestHead::to_header_map
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(super) bytes: Vec<u8>,
    pub(super) method: Method,
    pub(super) parts: Parts,
}

/// Where the parts of a head are in its bytes, and what its fields say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) body: BodyLength,
    pub(super) target: Span,
    pub(super) path: Span,
    /// Starts after the question mark. Empty at 0 if there is none.
    pub(super) query: Span,
    /// Empty at 0 if there is none.
    pub(super) host: Span,
    /// Where the fields start.
    pub(super) fields: u32,
    pub(super) version: Version,
    pub(super) form: TargetForm,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: bool,
}

impl Parts {
    /// Those of no head, to be filled.
    pub(super) const NONE: Parts = Parts {
        body: BodyLength::None,
        target: Span { start: 0, end: 0 },
        path: Span { start: 0, end: 0 },
        query: Span { start: 0, end: 0 },
        host: Span { start: 0, end: 0 },
        fields: 0,
        version: Version::Http11,
        form: TargetForm::Origin,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
    };
}

impl RequestHead {
    /// Makes a head of nothing, for [`read`](RequestHead::read).
    pub(crate) const fn new() -> RequestHead {
        RequestHead {
            bytes: Vec::new(),
            method: Method::GET,
            parts: Parts::NONE,
        }
    }

    /// Forgets the head; keeps memory of up to `most` bytes.
    pub(crate) fn clear(&mut self, most: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(most);
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The version of the client.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The target as it was sent, of visible ASCII characters.
    pub fn target(&self) -> &str {
        self.text(self.parts.target)
    }

    /// The form of the target.
    pub fn form(&self) -> TargetForm {
        self.parts.form
    }

    /// The path of the target as it was sent, with its percent-encoding: `/` for a URI without one, `*` for the server
    /// as a whole, and empty for `CONNECT`.
    pub fn raw_path(&self) -> &str {
        str::from_utf8(self.raw_path_bytes()).unwrap_or_default()
    }

    /// [`raw_path`](RequestHead::raw_path) as bytes.
    #[inline]
    pub(crate) fn raw_path_bytes(&self) -> &[u8] {
        match self.parts.form {
            TargetForm::Absolute if self.parts.path == Span::default() => b"/",
            _ => self.path_bytes(),
        }
    }

    /// [`raw_path`](RequestHead::raw_path), but empty for a URI without one.
    #[inline]
    pub(crate) fn path_bytes(&self) -> &[u8] {
        self.bytes.get(self.parts.path.range()).unwrap_or_default()
    }

    /// What follows the first question mark of the target.
    pub fn query(&self) -> Option<&str> {
        (self.parts.query.start > 0).then(|| self.text(self.parts.query))
    }

    /// Whom the request is for, with the port if it was given: from the target if that has it, otherwise from `Host`
    /// (RFC 9112, 3.3). None for HTTP/1.0 without `Host`; empty if `Host` is.
    pub fn host(&self) -> Option<&str> {
        (self.parts.host.start > 0).then(|| self.text(self.parts.host))
    }

    /// Returns whether a response needs no regard to the request: the version is 1.1, and the method is not `HEAD`.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.parts.version == Version::Http11 && self.method != Method::HEAD
    }

    /// How the body is delimited.
    pub fn body(&self) -> BodyLength {
        self.parts.body
    }

    /// Whether the client wants to send another request on this connection (RFC 9112, 9.3).
    pub fn keep_alive(&self) -> bool {
        self.parts.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.parts.expects_continue
    }

    /// Whether the client asks for another protocol, which `Upgrade` names (RFC 9110, 7.8).
    pub fn is_upgrade(&self) -> bool {
        self.parts.upgrade
    }

    /// Returns whether the client accepts trailers behind the response's body (`TE: trailers`; RFC 9110, 10.1.4).
    pub fn accepts_trailers(&self) -> bool {
        let mut codings = self
            .fields_of("te")
            .flat_map(|value| value.split(|&byte| byte == b','));
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    }

    /// All fields in their order.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes[self.parts.fields as usize..])
    }

    /// The first value of a field; case does not matter in names.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().next_of(name)
    }

    /// All values of a field in their order; case does not matter in names.
    pub fn fields_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut fields = self.fields();
        std::iter::from_fn(move || fields.next_of(name))
    }

    /// Whether the request asks for an upgrade and its `Upgrade` lists all protocols of a comma-separated list. Names are
    /// compared without case, versions exactly.
    pub fn lists_upgrades(&self, protocols: &[u8]) -> bool {
        self.is_upgrade()
            && protocols.split(|&byte| byte == b',').all(|protocol| {
                self.fields_of("upgrade")
                    .flat_map(|value| value.split(|&byte| byte == b','))
                    .any(|listed| is_same_protocol(listed.trim_ascii(), protocol.trim_ascii()))
            })
    }

    /// The fields as a map, whose values share one copy of the head.
    pub fn to_header_map(&self) -> HeaderMap {
        let head = Bytes::copy_from_slice(&self.bytes);
        to_header_map(&head, Fields::new(&head[self.parts.fields as usize..]))
    }

    /// The bytes of the head, from the method to the empty line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn text(&self, span: Span) -> &str {
        self.bytes
            .get(span.range())
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// Whether two protocols have the same name and the same version, or both none.
fn is_same_protocol(one: &[u8], other: &[u8]) -> bool {
    let name_length = |protocol: &[u8]| memchr(b'/', protocol).unwrap_or(protocol.len());
    let (name, version) = one.split_at(name_length(one));
    let (other_name, other_version) = other.split_at(name_length(other));
    !name.is_empty() && name.eq_ignore_ascii_case(other_name) && version == other_version
}
