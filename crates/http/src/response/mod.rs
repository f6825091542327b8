//! What a handler answers with.

mod body;
mod fields;
mod file;
mod parse;
mod upgrade;

pub(crate) use body::EarlyEnd;
#[cfg(test)]
pub(crate) use body::Pieces;
pub use body::{Body, BodyStream};
pub use parse::ParseError;

use std::error::Error as StdError;

use bytes::Bytes;
use futures::Stream;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde::Serialize;

use crate::{HeaderMap, HeaderValue, HttpError, StatusCode};

/// The characters that a URI cannot contain (RFC 3986, section 2), other than control characters, with which a location is an error.
const NOT_IN_URIS: &AsciiSet = &AsciiSet::EMPTY
    .add(b'\t')
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A response: a status, fields and a body.
///
/// A field that cannot be sent, such as one with a line break in its value, makes the whole response an error (500,
/// logged): nothing of it reaches the client. Header names are sent in lower case, whatever
/// their case in the program.
///
/// # Headers of the server
/// The server decides about these headers. Where it replaces one that a response has, it logs that on the level `DEBUG`:
///
/// | header | what a response's own value does |
/// |---|---|
/// | `Connection` | `close` closes the connection after the response ([`close_connection`](Response::close_connection)); other options are dropped. A response with `Upgrade` gets `Connection: Upgrade` |
/// | `Keep-Alive` | dropped |
/// | `Content-Length` | replaced by the length of the body. Sent as it is in a response without a body to HEAD, and with status 304 |
/// | `Transfer-Encoding` | dropped; a body of unknown length is sent in chunks to HTTP/1.1 |
/// | `Date` | sent as it is; the server adds it where it is missing |
///
/// # Examples
///
/// ```
/// use uptick_http::{Cookie, Response, StatusCode};
///
/// let page = Response::html("<h1>Hello, World!</h1>").header("cache-control", "max-age=60");
/// assert_eq!(page.status(), StatusCode::OK);
///
/// let moved = Response::redirect("/login").cookie(Cookie::build(("next", "cart")).http_only(true));
/// assert_eq!(moved.get("location"), Some("/login"));
///
/// let split = Response::plain("").header("x-echo", "a\r\nset-cookie: b");
/// assert_eq!(split.status(), StatusCode::INTERNAL_SERVER_ERROR);
/// ```
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    content_type: Option<&'static str>,
    headers: Option<Box<HeaderMap>>,
    body: Body,
    failure: Option<HttpError>,
    selected: Option<Box<Selected>>,
}

/// The whole representation, where the response has only a part of it (206) or nothing (304).
#[cfg_attr(
    not(feature = "full"),
    allow(dead_code, reason = "`files` sets it and `compression` reads it")
)]
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) content_type: String,
    pub(crate) length: u64,
    /// Whether it has a content coding.
    pub(crate) is_encoded: bool,
}

impl Response {
    /// A response without a body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            headers: None,
            body: Body::Empty,
            failure: None,
            selected: None,
        }
    }

    fn of(content_type: &'static str, body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            headers: None,
            body,
            failure: None,
            selected: None,
        }
    }

    /// 200 with text: `text/plain; charset=utf-8`.
    pub fn plain(text: impl Into<Body>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// 200 with a page: `text/html; charset=utf-8`.
    pub fn html(page: impl Into<Body>) -> Self {
        Self::of("text/html; charset=utf-8", page.into())
    }

    /// 200 with XML: `application/xml`, whose encoding the document itself tells.
    pub fn xml(document: impl Into<Body>) -> Self {
        Self::of("application/xml", document.into())
    }

    /// 200 with bytes: `application/octet-stream`.
    pub fn binary(bytes: impl Into<Body>) -> Self {
        Self::of("application/octet-stream", bytes.into())
    }

    /// 200 with a value as JSON: `application/json`.
    ///
    /// A value that cannot be written as JSON, such as a map whose keys are not strings, makes the response an error.
    pub fn json(value: impl Serialize) -> Self {
        match serde_json::to_vec(&value) {
            Ok(text) => Self::of("application/json", text.into()),
            Err(error) => HttpError::from(error).into(),
        }
    }

    /// 200 with the pieces of a stream, sent as fast as the client takes them: `application/octet-stream`.
    ///
    /// An error of the stream cuts the connection, so that the client cannot take a part for the whole.
    pub fn stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::of("application/octet-stream", BodyStream::new(stream).into())
    }

    /// 302 to a location, which may be relative. Characters that cannot stand in a URI are percent-encoded, such as spaces,
    /// backslashes, those beyond ASCII and each `%` without two hexadecimal digits behind it; escapes stay as they are.
    ///
    /// A location with another control character than a tab makes the response an error. Locations that come from a client
    /// are to be checked by the caller: `//example.com/` is a location, too.
    pub fn redirect(location: &str) -> Self {
        Self::new(StatusCode::FOUND).header(http::header::LOCATION, uri_reference(location))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same response with another status; one that stands for an error takes only that of an error.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        if self.failure.is_none() || status.is_client_error() || status.is_server_error() {
            self.status = status;
        }
        self
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The same response with another body; its type stays.
    ///
    /// A `Content-Length` or `ETag` that was set for the old body is removed. One that stands for an error stays as it
    /// is.
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        if self.failure.is_some() {
            return self;
        }
        self.body = body.into();
        self.selected = None;
        if let Some(headers) = &mut self.headers {
            headers.remove(http::header::CONTENT_LENGTH);
            headers.remove(http::header::ETAG);
        }
        self
    }

    /// Takes the body, for another one to be put in its place.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Drops the body.
    #[inline]
    pub(crate) fn drop_body(&mut self) {
        if !matches!(self.body, Body::Static(_)) {
            drop(self.take_body());
        }
    }

    #[cfg(feature = "compression")]
    pub(crate) fn selected(&self) -> Option<&Selected> {
        self.selected.as_deref()
    }

    /// The same response as one for a part of a representation, or for none of it.
    #[cfg(feature = "files")]
    pub(crate) fn with_selected(mut self, selected: Selected) -> Self {
        self.selected = Some(Box::new(selected));
        self
    }

    /// The error that the response stands for, if it does.
    pub fn failure(&self) -> Option<&HttpError> {
        self.failure.as_ref()
    }

    /// The same response; if it stands for an error, its page tells the causes, too.
    pub(crate) fn explained(mut self) -> Self {
        if let Some(error) = &self.failure {
            self.body = format!("{}\n", error.report()).into();
        }
        self
    }

    /// Takes the error that the response stands for; what is left is its page.
    pub(crate) fn take_failure(&mut self) -> Option<HttpError> {
        self.failure.take()
    }

    /// Returns the body of a response with status 200 that owns nothing but perhaps a body in memory.
    #[inline]
    pub(crate) fn plain_body(&self) -> Option<&[u8]> {
        let is_plain = self.status == StatusCode::OK
            && self.headers.is_none()
            && self.failure.is_none()
            && self.selected.is_none();
        match &self.body {
            Body::Static(bytes) if is_plain => Some(bytes),
            Body::Bytes(bytes) if is_plain => Some(bytes),
            _ => None,
        }
    }

    /// The `Content-Type`, unless it is among the headers.
    #[inline]
    pub(crate) fn default_content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    #[inline]
    pub(crate) fn header_map(&self) -> Option<&HeaderMap> {
        self.headers.as_deref()
    }
}

/// Percent-encodes what cannot stand in a URI.
fn uri_reference(text: &str) -> String {
    let mut parts = text.split('%');
    let mut uri: String =
        utf8_percent_encode(parts.next().unwrap_or_default(), NOT_IN_URIS).collect();
    for part in parts {
        let digits = part.as_bytes().get(..2);
        let escape = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        uri.push_str(if escape { "%" } else { "%25" });
        uri.extend(utf8_percent_encode(part, NOT_IN_URIS));
    }
    uri
}

/// The error's page: its status, its fields, and its message as plain text, which browsers are told not to take for
/// anything else.
impl From<HttpError> for Response {
    fn from(error: HttpError) -> Self {
        let text = format!("{}\n", error.message());
        let mut headers = error.headers().clone();
        headers.insert(
            http::header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        Self {
            status: error.status(),
            headers: Some(Box::new(headers)),
            failure: Some(error),
            ..Self::plain(text)
        }
    }
}

#[cfg(test)]
mod tests;
