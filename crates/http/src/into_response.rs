//! Conversion of return values into responses.

use std::borrow::Cow;
use std::convert::Infallible;

use bytes::Bytes;

use crate::{HttpError, Response, StatusCode};

/// A value that a handler can return as its response:
///
/// | value | response |
/// | --- | --- |
/// | `&'static str`, `String`, `Cow<'static, str>` | 200, `text/plain; charset=utf-8` |
/// | `Bytes`, `Vec<u8>`, `&'static [u8]` | 200, `application/octet-stream` |
/// | [`StatusCode`] | that status, no body; for an error status, the error page |
/// | `(StatusCode, T)` | `T`'s response with that status |
/// | [`Response`] | itself |
/// | [`HttpError`] | its error page |
/// | [`Json<T>`](crate::Json) | 200, `application/json` |
/// | [`ProblemDetails`](crate::ProblemDetails) | its status, `application/problem+json` |
/// | `Result<T, E>` | `T`'s response, or the error page of `E` |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "not a response",
    note = "return text, bytes, a `StatusCode`, a `Response`, or a `Result` of one of these and an `HttpError`",
    note = "return a value as JSON with `Response::json(&value)`; implement `IntoResponse` or `Into<HttpError>` for an error of your own"
)]
pub trait IntoResponse {
    /// Converts the value into a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::plain(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::plain(self)
    }
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => Response::plain(text),
            Cow::Owned(text) => Response::plain(text),
        }
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::binary(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::binary(self)
    }
}

impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::binary(self)
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        if self.is_client_error() || self.is_server_error() {
            HttpError::from_status(self).into_response()
        } else {
            Response::new(self)
        }
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        Response::from(self)
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl<T: IntoResponse, E: Into<HttpError>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => Response::from(error.into()),
        }
    }
}
