//! Errors of requests.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use http::{Method, StatusCode};

use crate::browser::Response;
use crate::url::Url;

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A URL, or the `Location` of a redirect, is malformed, is relative without a base, or has no host.
    InvalidUrl,
    /// The scheme of a URL is neither `http` nor `https`.
    UnsupportedScheme,
    /// The request cannot be sent: its method, a header or its body is not valid.
    InvalidRequest,
    /// The host name has no address.
    Resolve,
    /// No address of the host could be connected to.
    Connect,
    /// No connection was established in time.
    ConnectTimeout,
    /// The TLS handshake failed, or the certificate was refused.
    Tls,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The proxy could not be reached, refused the request, or sent an invalid response.
    Proxy,
    /// The server accepted no byte of the request for too long.
    WriteTimeout,
    /// The response did not begin in time.
    FirstByteTimeout,
    /// The response paused for too long.
    ReadTimeout,
    /// The request as a whole took too long.
    TotalTimeout,
    /// The connection ended before the first byte of a response.
    ClosedBeforeResponse,
    /// The connection ended within the head of the response.
    ClosedInHead,
    /// The connection ended within the body of the response.
    ClosedInBody,
    /// The response is not valid HTTP.
    Malformed,
    /// The response exceeds a limit.
    TooLarge,
    /// The server redirected more often than allowed.
    TooManyRedirects,
    /// The body could not be decompressed.
    Decompression,
    /// The server reset the HTTP/2 stream or violated the protocol, and may have processed the request.
    Http2,
    /// The request was cancelled.
    Cancelled,
    /// The response has another content type than the expected one.
    ContentType,
    /// The response has a status of 400 or above ([`Error::response`]).
    Status,
    /// Another error, such as a full queue of waiting requests.
    Other,
}

impl ErrorKind {
    /// Returns the name of the kind, such as `connect_timeout`, for logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidUrl => "invalid_url",
            ErrorKind::UnsupportedScheme => "unsupported_scheme",
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::Resolve => "dns",
            ErrorKind::Connect => "connect",
            ErrorKind::ConnectTimeout => "connect_timeout",
            ErrorKind::Tls => "tls",
            ErrorKind::TlsTimeout => "tls_timeout",
            ErrorKind::Proxy => "proxy",
            ErrorKind::WriteTimeout => "write_timeout",
            ErrorKind::FirstByteTimeout => "first_byte_timeout",
            ErrorKind::ReadTimeout => "read_timeout",
            ErrorKind::TotalTimeout => "total_timeout",
            ErrorKind::ClosedBeforeResponse => "closed_before_response",
            ErrorKind::ClosedInHead => "closed_in_head",
            ErrorKind::ClosedInBody => "closed_in_body",
            ErrorKind::Malformed => "malformed",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::TooManyRedirects => "too_many_redirects",
            ErrorKind::Decompression => "decompression",
            ErrorKind::Http2 => "http2",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::ContentType => "content_type",
            ErrorKind::Status => "status",
            ErrorKind::Other => "other",
        }
    }
}

impl Display for ErrorKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reason why one attempt of a request failed, before the request adds its own description.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: Cow<'static, str>,
    /// `true` if the server has declared that it did not process the request (HTTP/2).
    pub(crate) unprocessed: bool,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, reason: impl Into<Cow<'static, str>>) -> Failure {
        Failure {
            kind,
            reason: reason.into(),
            unprocessed: false,
        }
    }

    /// Returns the failure of a request whose connection was closed before.
    pub(crate) fn not_sent() -> Failure {
        let reason = "the connection was closed before the request was sent";
        Failure {
            unprocessed: true,
            ..Failure::new(ErrorKind::ClosedBeforeResponse, reason)
        }
    }

    pub(crate) fn closed_before_response() -> Failure {
        Failure::new(
            ErrorKind::ClosedBeforeResponse,
            "the connection was closed before a response",
        )
    }
}

/// An error of a request.
///
/// The text states the request, the cause, and the errno name if there is one:
/// `GET http://127.0.0.1:9/ failed: connecting to tcp://127.0.0.1:9 failed: Connection refused (ECONNREFUSED)`. Cloning does not allocate.
#[derive(Clone)]
pub struct Error(Arc<ErrorParts>);

pub(crate) struct ErrorParts {
    pub(crate) kind: ErrorKind,
    /// Method and URL of the last hop; empty if the URL is not valid.
    pub(crate) request: String,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) url: Option<String>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) attempts: u32,
    pub(crate) is_reused: bool,
    pub(crate) response: Option<Response>,
}

impl Error {
    pub(crate) fn of(parts: ErrorParts) -> Error {
        Error(Arc::new(parts))
    }

    /// Creates the error of a request that was not sent.
    pub(crate) fn new(kind: ErrorKind, reason: impl Into<Cow<'static, str>>) -> Error {
        Error::of(ErrorParts {
            kind,
            request: String::new(),
            reason: reason.into(),
            url: None,
            status: None,
            attempts: 0,
            is_reused: false,
            response: None,
        })
    }

    /// Adds the method and the URL of the request, which was not sent.
    pub(crate) fn with_request(&self, method: &Method, url: &Url) -> Error {
        Error::of(ErrorParts {
            kind: self.0.kind,
            request: format!("{method} {url}"),
            reason: self.0.reason.clone(),
            url: Some(url.as_str().to_owned()),
            status: None,
            attempts: 0,
            is_reused: false,
            response: None,
        })
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the reason, without the method and the URL of the request.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Returns the URL of the last hop, without user information; `None` if the URL of the request is not valid.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Returns the status of the response, if its head was complete.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// Returns the complete response of an error of kind [`ErrorKind::Status`].
    pub fn response(&self) -> Option<&Response> {
        self.0.response.as_ref()
    }

    /// Returns the number of attempts of the last hop: 0 if it was never sent, 2 after a retry.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns `true` if the last attempt used a connection that had carried an earlier request.
    pub fn is_reused(&self) -> bool {
        self.0.is_reused
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.0.request.is_empty() {
            write!(f, "{} failed: ", self.0.request)?;
        }
        f.write_str(&self.0.reason)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("request", &self.0.request)
            .field("reason", &self.0.reason)
            .field("status", &self.0.status)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {}
