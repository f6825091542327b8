//! Responses of handlers.

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

/// The characters that are not allowed in a URI (RFC 3986, section 2), except for control characters, which make a location invalid.
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

/// A response: a status, headers and a body.
///
/// A header that cannot be sent, for example because its value contains a line break, turns the whole response into an error (500,
/// logged): no part of it reaches the client. Header names are sent in lower case.
///
/// # Headers of the server
/// The server sets these headers itself. If it replaces one set by the response, it logs that at level `DEBUG`:
///
/// | header | effect of a value set by the response |
/// |---|---|
/// | `Connection` | `close` closes the connection after the response ([`close_connection`](Response::close_connection)); other options are ignored. A response with `Upgrade` gets `Connection: Upgrade` |
/// | `Keep-Alive` | none |
/// | `Content-Length` | replaced by the length of the body. Sent unchanged in a response without a body to HEAD, and with status 304 |
/// | `Transfer-Encoding` | none; a body of unknown length is sent in chunks to HTTP/1.1 clients |
/// | `Date` | sent unchanged; the server adds it if it is missing |
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
    selected: Option<Box<SelectedRepresentation>>,
}

/// The complete representation, if the response contains only a part of it (206) or none (304).
#[cfg_attr(
    not(feature = "full"),
    allow(dead_code, reason = "`files` sets it and `compression` reads it")
)]
#[derive(Clone, Debug)]
pub(crate) struct SelectedRepresentation {
    pub(crate) content_type: String,
    pub(crate) length: u64,
    /// `true` if it has a content coding.
    pub(crate) is_encoded: bool,
}

impl Response {
    /// Creates a response without a body.
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

    /// Creates a response with status 200 and text: `text/plain; charset=utf-8`.
    pub fn plain(text: impl Into<Body>) -> Self {
        Self::of("text/plain; charset=utf-8", text.into())
    }

    /// Creates a response with status 200 and an HTML page: `text/html; charset=utf-8`.
    pub fn html(page: impl Into<Body>) -> Self {
        Self::of("text/html; charset=utf-8", page.into())
    }

    /// Creates a response with status 200 and an XML document, which declares its own encoding: `application/xml`.
    pub fn xml(document: impl Into<Body>) -> Self {
        Self::of("application/xml", document.into())
    }

    /// Creates a response with status 200 and binary data: `application/octet-stream`.
    pub fn binary(bytes: impl Into<Body>) -> Self {
        Self::of("application/octet-stream", bytes.into())
    }

    /// Creates a response with status 200 and a value serialized as JSON: `application/json`.
    ///
    /// If the value cannot be serialized as JSON, such as a map whose keys are not strings, the response is an error.
    pub fn json(value: impl Serialize) -> Self {
        match serde_json::to_vec(&value) {
            Ok(text) => Self::of("application/json", text.into()),
            Err(error) => HttpError::from(error).into(),
        }
    }

    /// Creates a response with status 200 and a streamed body, polled at the client's speed: `application/octet-stream`.
    ///
    /// If the stream yields an error, the connection is aborted, so that the client detects the incomplete body.
    pub fn stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self::of("application/octet-stream", BodyStream::new(stream).into())
    }

    /// Creates a 302 redirect to a location, which may be relative. Characters that are not allowed in a URI are percent-encoded, such as
    /// spaces, backslashes, non-ASCII characters and each `%` that is not followed by two hexadecimal digits; existing escapes are kept.
    ///
    /// A location with a control character other than a tab makes the response an error. The caller must validate locations that come
    /// from a client: `//example.com/` is also a location.
    pub fn redirect(location: &str) -> Self {
        Self::new(StatusCode::FOUND).header(http::header::LOCATION, uri_reference(location))
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Sets the status. An error response accepts only error statuses.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        if self.failure.is_none() || status.is_client_error() || status.is_server_error() {
            self.status = status;
        }
        self
    }

    /// Returns the body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Replaces the body, and keeps the `Content-Type`.
    ///
    /// Headers `Content-Length` and `ETag` set for the old body are removed. The body of an error response is not changed.
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

    /// Takes the body, leaving an empty one.
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
    pub(crate) fn selected(&self) -> Option<&SelectedRepresentation> {
        self.selected.as_deref()
    }

    /// Sets the representation of which the response contains a part or nothing.
    #[cfg(feature = "files")]
    pub(crate) fn with_selected(mut self, selected: SelectedRepresentation) -> Self {
        self.selected = Some(Box::new(selected));
        self
    }

    /// Returns the error that the response represents, if any.
    pub fn failure(&self) -> Option<&HttpError> {
        self.failure.as_ref()
    }

    /// Adds the causes to the page of an error response.
    pub(crate) fn explained(mut self) -> Self {
        if let Some(error) = &self.failure {
            self.body = format!("{}\n", error.report()).into();
        }
        self
    }

    /// Takes the error that the response represents, leaving its page.
    pub(crate) fn take_failure(&mut self) -> Option<HttpError> {
        self.failure.take()
    }

    /// Returns the body of a response with status 200 that owns nothing except a body in memory.
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

    /// Returns the `Content-Type`, unless it is in the header map.
    #[inline]
    pub(crate) fn default_content_type(&self) -> Option<&'static str> {
        self.content_type
    }

    #[inline]
    pub(crate) fn header_map(&self) -> Option<&HeaderMap> {
        self.headers.as_deref()
    }
}

/// Percent-encodes characters that are not allowed in a URI.
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

/// The page of an error: its status, its headers, and its message as plain text, with `X-Content-Type-Options: nosniff`.
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
