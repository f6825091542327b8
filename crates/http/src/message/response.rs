//! Rules for responses that do not depend on the version.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, StatusCode};

/// The length of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// No body. For `HEAD` and status 304, `Content-Length` is taken from the headers, if they have one.
    Empty,
    /// A body with this number of bytes.
    Bytes(u64),
    /// A body of unknown length.
    Stream,
}

/// Returns `true` if the body of a response is sent, and its `Content-Length` (RFC 9110, sections 6.4.1 and 8.6).
#[inline]
pub(crate) fn response_length(
    status: StatusCode,
    to_head: bool,
    body: ResponseBody,
    fields: Option<&HeaderMap>,
) -> (bool, Option<u64>) {
    if status == StatusCode::OK && !to_head {
        return (true, length_of(body));
    }
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return (false, None);
    }
    if status == StatusCode::RESET_CONTENT {
        return (false, Some(0));
    }
    if to_head || status == StatusCode::NOT_MODIFIED {
        let length = match body {
            ResponseBody::Empty => fields.and_then(explicit_length),
            _ => length_of(body),
        };
        return (false, length);
    }
    (true, length_of(body))
}

fn length_of(body: ResponseBody) -> Option<u64> {
    match body {
        ResponseBody::Empty => Some(0),
        ResponseBody::Bytes(length) => Some(length),
        ResponseBody::Stream => None,
    }
}

fn explicit_length(fields: &HeaderMap) -> Option<u64> {
    let digits = fields.get(CONTENT_LENGTH)?.to_str().ok()?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Returns `true` if the encoder writes this header itself: `Connection`, `Keep-Alive`, `Content-Length` and `Transfer-Encoding`.
pub fn is_owned(name: &HeaderName) -> bool {
    is_owned_name(name.as_str())
}

/// Same as [`is_owned`], for a name in lower case.
#[inline]
pub(crate) fn is_owned_name(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "content-length" | "transfer-encoding"
    )
}
