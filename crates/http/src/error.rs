//! What a handler fails with.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::header::CONNECTION;

#[cfg(feature = "multipart")]
use crate::MultipartError;
use crate::{BodyError, ExtractError, HeaderMap, HeaderName, HeaderValue, StatusCode};

type Source = Box<dyn StdError + Send + Sync>;

/// An answer that tells of a failure: a status, a message for the client and a cause for the log.
///
/// The server logs each with method and path, cut to 1,536 bytes in all: at error level, or at debug level where the client is
/// the cause (4xx, and 501, 503 and 505 without a source).
///
/// Any [`std::error::Error`] becomes one by `?`: status 500, and its text is logged but not shown to the client; a
/// [`BodyError`], a `MultipartError` or an [`ExtractError`] that is the client's doing becomes one with its own status and text.
/// For that reason this type is not a [`std::error::Error`] itself.
///
/// # Examples
///
/// ```
/// use uptick_http::{HttpError, Request, StatusCode};
///
/// fn page(req: &Request) -> Result<u32, HttpError> {
///     let text = req.param("page").ok_or_else(HttpError::not_found)?;
///     text.parse().map_err(|e| HttpError::new(StatusCode::BAD_REQUEST, "page is not a number").with_source(e))
/// }
/// # let _ = page;
/// ```
pub struct HttpError {
    inner: Box<Inner>,
}

/// The message of a panic.
#[derive(Debug, thiserror::Error)]
#[error("a callback panicked: {0}")]
struct Panic(String);

struct Inner {
    status: StatusCode,
    message: Cow<'static, str>,
    headers: HeaderMap,
    source: Option<Source>,
}

impl HttpError {
    /// An error with a status and a message; the client gets to read both.
    ///
    /// A status that is not one of 4xx or 5xx is taken for 500.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let status = if status.is_client_error() || status.is_server_error() {
            status
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self {
            inner: Box::new(Inner {
                status,
                message: message.into(),
                headers: HeaderMap::new(),
                source: None,
            }),
        }
    }

    /// An error with the status's own words for a message, such as `Not Found`.
    pub fn from_status(status: StatusCode) -> Self {
        let error = Self::new(status, "");
        let reason = error.status().canonical_reason().unwrap_or("Error");
        error.with_message(reason)
    }

    /// 400 with a message for the client.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::from_status(StatusCode::NOT_FOUND)
    }

    /// 500 with a cause that is logged and not shown to the client.
    ///
    /// Takes what `?` does not: strings, `Box<dyn Error + Send + Sync>` and what turns into one.
    pub fn internal(source: impl Into<Source>) -> Self {
        let mut error = Self::from_status(StatusCode::INTERNAL_SERVER_ERROR);
        error.inner.source = Some(source.into());
        error
    }

    /// The error of a handler or middleware that panicked: 500, and the connection is closed.
    pub(crate) fn panicked(message: String) -> Self {
        Self::internal(Panic(message)).with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// Whether a panic is the cause.
    pub(crate) fn is_panic(&self) -> bool {
        self.source().is_some_and(|source| source.is::<Panic>())
    }

    /// The same error with another message for the client.
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.inner.message = message.into();
        self
    }

    /// The same error with a cause, which is logged and not shown to the client.
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The same error with a field for its answer, such as `Retry-After`; it replaces one of the same name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.insert(name, value);
        self
    }

    /// The status of the answer: always one of 4xx or 5xx.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// What the client gets to read.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The fields of the answer, besides those that every answer has.
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The cause, which the client does not get to read.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.inner.source.as_deref()
    }

    /// Whether the server is at fault. 501, 503 and 505 without a cause are not faults: they are responses to what clients send.
    pub(crate) fn is_server_fault(&self) -> bool {
        let deliberate = matches!(
            self.status(),
            StatusCode::NOT_IMPLEMENTED
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        );
        self.status().is_server_error() && (self.source().is_some() || !deliberate)
    }

    /// The status, the message and the causes, one after the other.
    pub fn report(&self) -> String {
        use fmt::Write as _;

        let mut text = self.to_string();
        let mut next: Option<&(dyn StdError + 'static)> = match self.source() {
            Some(source) => Some(source),
            None => None,
        };
        while let Some(error) = next {
            // Writing into a String does not fail.
            let _ = write!(text, ": {error}");
            next = error.source();
        }
        text
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for HttpError {
    fn from(source: E) -> Self {
        let error: &(dyn StdError + 'static) = &source;
        let status = error.downcast_ref().map(BodyError::status);
        #[cfg(feature = "multipart")]
        let status = status.or_else(|| error.downcast_ref().map(MultipartError::status));
        let extract = error.is::<ExtractError>();
        let status = status.or(extract.then_some(StatusCode::BAD_REQUEST));
        match status.filter(StatusCode::is_client_error) {
            // The client's own doing, which it may read.
            Some(status) => Self::new(status, source.to_string()),
            None => Self::internal(source),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status().as_str(), self.message())
    }
}

impl fmt::Debug for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpError")
            .field("status", &self.inner.status)
            .field("message", &self.inner.message)
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}
