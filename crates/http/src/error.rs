//! Errors of handlers.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::header::CONNECTION;

#[cfg(feature = "multipart")]
use crate::MultipartError;
use crate::{BodyError, ExtractError, HeaderMap, HeaderName, HeaderValue, StatusCode};

type BoxError = Box<dyn StdError + Send + Sync>;

/// An error response: a status, a message for the client and a cause for the log.
///
/// The server logs each error with method and path, shortened to 1,536 bytes in total: at error level, or at debug level if it is a
/// client error (4xx, and 501, 503 and 505 without a source).
///
/// `?` converts any [`std::error::Error`]: the status is 500, and the text is logged but not sent to the client. A [`BodyError`], a
/// `MultipartError` or an [`ExtractError`] caused by the client keeps its own status and text. Because of this conversion, the type does
/// not implement [`std::error::Error`] itself.
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
    inner: Box<HttpErrorInner>,
}

/// The message of a panic.
#[derive(Debug, thiserror::Error)]
#[error("a callback panicked: {0}")]
struct Panic(String);

struct HttpErrorInner {
    status: StatusCode,
    message: Cow<'static, str>,
    headers: HeaderMap,
    source: Option<BoxError>,
}

impl HttpError {
    /// Creates an error with a status and a message, both of which are sent to the client.
    ///
    /// A status other than 4xx or 5xx is replaced by 500.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let status = if status.is_client_error() || status.is_server_error() {
            status
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self {
            inner: Box::new(HttpErrorInner {
                status,
                message: message.into(),
                headers: HeaderMap::new(),
                source: None,
            }),
        }
    }

    /// Creates an error whose message is the standard reason phrase of the status, such as `Not Found`.
    pub fn from_status(status: StatusCode) -> Self {
        let error = Self::new(status, "");
        let reason = error.status().canonical_reason().unwrap_or("Error");
        error.with_message(reason)
    }

    /// Creates a 400 error with a message for the client.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Creates a 404 error.
    pub fn not_found() -> Self {
        Self::from_status(StatusCode::NOT_FOUND)
    }

    /// Creates a 500 error with a cause that is logged but not sent to the client.
    ///
    /// Accepts what `?` does not: strings, `Box<dyn Error + Send + Sync>` and everything that converts into it.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        let mut error = Self::from_status(StatusCode::INTERNAL_SERVER_ERROR);
        error.inner.source = Some(source.into());
        error
    }

    /// Returns the error for a handler or middleware that panicked: 500, and the connection closes.
    pub(crate) fn panicked(message: String) -> Self {
        Self::internal(Panic(message)).with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// Returns `true` if the cause is a panic.
    pub(crate) fn is_panic(&self) -> bool {
        self.source().is_some_and(|source| source.is::<Panic>())
    }

    /// Sets the message for the client.
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.inner.message = message.into();
        self
    }

    /// Sets the cause, which is logged but not sent to the client.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Sets a header of the response, such as `Retry-After`, replacing a header with the same name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.inner.headers.insert(name, value);
        self
    }

    /// Returns the status of the response, which is always 4xx or 5xx.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Returns the message for the client.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns the headers of the response, except for those that every response has.
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// Returns the cause, which is not sent to the client.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.inner.source.as_deref()
    }

    /// Returns `true` for a server error. 501, 503 and 505 without a cause are not: they are regular responses to client requests.
    pub(crate) fn is_server_fault(&self) -> bool {
        let deliberate = matches!(
            self.status(),
            StatusCode::NOT_IMPLEMENTED
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        );
        self.status().is_server_error() && (self.source().is_some() || !deliberate)
    }

    /// Returns the status, the message and the chain of causes as text.
    pub fn report(&self) -> String {
        use fmt::Write as _;

        let mut text = self.to_string();
        let mut next: Option<&(dyn StdError + 'static)> = match self.source() {
            Some(source) => Some(source),
            None => None,
        };
        while let Some(error) = next {
            // Writing to a String does not fail.
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
            // Client errors are shown to the client.
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
